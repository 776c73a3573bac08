#!/bin/sh
# Makes docs/demo.jpg, the picture at the top of the README: the sample frames as `anchorwatch run
# --demo --annotate` draws them. Needs ImageMagick (montage).
set -eu
cd "$(dirname "$0")/.."
command -v montage >/dev/null || { echo "demo-picture: montage is missing: sudo apt-get install imagemagick" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo run --release --bin anchorwatch -- --quiet run --demo --annotate "$work/frames" >/dev/null
montage "$work"/frames/*.* -geometry 230x230+4+4 -tile 4x -background white -quality 85 docs/demo.jpg
