#!/usr/bin/env bash
# Lays out the pictures of the default model from the TinyImageNet archive (a .tar.gz with
# tinyimagenet/train/<wnid>/ of some classes and tinyimagenet/val/<wnid>/ of all 200):
#
#   models/prepare-default-data.sh tinyimagenet-split0.tar.gz OUT
#
#   OUT/known/train/<class>/      trained on
#   OUT/known/val/<class>/        held out: accuracy, and the threshold
#   OUT/unknown/<wnid>/           all other classes of the validation set: measured on, nothing else
#
# A class is one or more wnids. Where the archive has a wnid's training pictures, the first of them
# are trained on and its validation pictures held out; where it has not, the first 40 of its 50
# validation pictures are trained on and the last 10 held out. No picture is on both sides.
set -euo pipefail
archive="${1:?usage: prepare-default-data.sh ARCHIVE OUT}"
out="${2:?usage: prepare-default-data.sh ARCHIVE OUT}"
[ ! -e "$out" ] || { echo "prepare-default-data: '$out' is there already: remove it, or name another" >&2; exit 1; }

# class: wnids. No class far outweighs another, and each is what people call by that name.
classes="
bee: n02206856
butterfly: n02279972 n02281406
car: n04285008 n03100240 n02814533 n03670208
cat: n02123045 n02123394 n02124075
dog: n02106662 n02099601 n02099712 n02085620 n02094433 n02113799
espresso: n07920052
goldfish: n01443537
orange: n07747607
school-bus: n04146614
suspension-bridge: n04366367
"
most_of_a_wnid=200   # training pictures
train_of_val=40      # of 50

unpacked="$(mktemp -d "$out.XXXXXX.tmp")"
trap 'rm -rf "$unpacked"' EXIT
tar -xzf "$archive" -C "$unpacked"
source="$unpacked/tinyimagenet"
made="$unpacked/made"
mkdir -p "$made/unknown"

pictures() { # of a folder, sorted the same everywhere
    find "$1" -name '*.JPEG' | LC_ALL=C sort
}

while IFS=: read -r class wnids; do
    [ -n "$class" ] || continue
    mkdir -p "$made/known/train/$class" "$made/known/val/$class"
    for wnid in $wnids; do
        if [ -d "$source/train/$wnid" ]; then
            pictures "$source/train/$wnid" | sed -n "1,${most_of_a_wnid}p" | xargs mv -t "$made/known/train/$class"
            pictures "$source/val/$wnid" | xargs mv -t "$made/known/val/$class"
        else
            pictures "$source/val/$wnid" | sed -n "1,${train_of_val}p" | xargs mv -t "$made/known/train/$class"
            pictures "$source/val/$wnid" | xargs mv -t "$made/known/val/$class"
        fi
        rmdir "$source/val/$wnid"
    done
done <<<"$classes"
mv "$source"/val/* "$made/unknown"
mv "$made" "$out"
for level in "$out"/known/*; do
    for class in "$level"/*; do
        echo "$(basename "$level") $(basename "$class"): $(find "$class" -type f | wc -l)"
    done
done
echo "unknown: $(find "$out/unknown" -type f | wc -l) of $(find "$out/unknown" -mindepth 1 -maxdepth 1 | wc -l) classes"
