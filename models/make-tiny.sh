#!/usr/bin/env bash
# Makes tiny.onnx again, from the TinyImageNet archive that prepare-default-data.sh describes:
#
#   models/make-tiny.sh tinyimagenet-split0.tar.gz WORK
#
# WORK is a new folder for the pictures and the training, or the one of make-default.sh. Takes some five
# minutes.
set -euo pipefail
archive="$(realpath "${1:?usage: make-tiny.sh ARCHIVE WORK}")"
work="$(realpath -m "${2:?usage: make-tiny.sh ARCHIVE WORK}")"
cd "$(dirname "$0")/.."
mkdir -p "$work"
[ -d "$work/data" ] || models/prepare-default-data.sh "$archive" "$work/data"
export LIBTORCH="${LIBTORCH:-$(train/setup-libtorch.sh)}"
cargo run --release -p anchorwatch-train -- fit \
    --data "$work/data/known" --unknown "$work/data/unknown" --out "$work/tiny" \
    --backbone tiny --size 64 --epochs 60 --seed 1 --threads 1 \
    --name "anchorwatch tiny" \
    --data-note "TinyImageNet: 10 things, 24 of its classes; unknown to measure with: the 179 other classes" \
    --licence "pictures: ImageNet's terms (research, education)"
cp "$work/tiny/model.onnx" models/tiny.onnx
