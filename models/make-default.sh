#!/usr/bin/env bash
# Makes default.onnx again, from the TinyImageNet archive that prepare-default-data.sh describes:
#
#   models/make-default.sh tinyimagenet-split0.tar.gz WORK
#
# WORK is a new folder for the pictures and the training. Takes about 15 minutes on two cores.
set -euo pipefail
archive="$(realpath "${1:?usage: make-default.sh ARCHIVE WORK}")"
work="$(realpath -m "${2:?usage: make-default.sh ARCHIVE WORK}")"
cd "$(dirname "$0")/.."
mkdir -p "$work"
[ -d "$work/data" ] || models/prepare-default-data.sh "$archive" "$work/data"
export LIBTORCH="${LIBTORCH:-$(train/setup-libtorch.sh)}"
train/setup-weights.sh >/dev/null
cargo run --release -p anchorwatch-train -- fit \
    --data "$work/data/known" --unknown "$work/data/unknown" --out "$work/model" \
    --backbone efficientnet-lite0 --size 128 --seed 1 \
    --name "anchorwatch default" \
    --data-note "TinyImageNet: 10 things, 24 of its classes; unknown to measure with: the 179 other classes" \
    --licence "pictures: ImageNet's terms (research, education); starting weights: Apache-2.0"
cp "$work/model/model.onnx" models/default.onnx
