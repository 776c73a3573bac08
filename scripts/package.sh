#!/bin/sh
# Makes a Debian package of the program as it is shipped, and prints where it lies; beside it lies the
# bill of materials (CycloneDX): everything that is linked into the program, with licences.
#
#   scripts/package.sh x86_64|aarch64|armv7
set -eu
cd "$(dirname "$0")/.."
. scripts/cargo-tools.sh
cargo_tool cargo-deb 3.8.0
cargo_tool cargo-cyclonedx 0.5.9

program=$(scripts/build.sh "${1:-}")
folder=$(dirname "$program")
triple=$(basename "$(dirname "$folder")")
CARGO_TARGET_DIR=$(dirname "$(dirname "$folder")")
export CARGO_TARGET_DIR

# The C library that the package asks for (Cargo.toml) must be enough.
asked=$(sed -n 's/^depends = "libc6 (>= \([0-9.]*\)).*/\1/p' Cargo.toml)
needed=$(LC_ALL=C readelf --wide --dyn-syms "$program" | grep -o 'GLIBC_[0-9.]*' | sed s/GLIBC_// | sort -Vu | tail -n 1)
if [ "$(printf '%s\n%s\n' "$asked" "$needed" | sort -V | tail -n 1)" != "$asked" ]; then
    echo "package: the program needs glibc $needed, and the package asks for $asked" >&2
    exit 1
fi

# The manual and the completions are made by the program itself, emulated where need be.
case $triple in
aarch64-*) emulate="qemu-aarch64-static -L /usr/aarch64-linux-gnu" ;;
armv7-*) emulate="qemu-arm-static -L /usr/arm-linux-gnueabihf" ;;
*) emulate= ;;
esac
made=$folder/package
rm -rf "$made"
mkdir -p "$made"
$emulate "$program" man "$made/man"
gzip -9n "$made"/man/*.1
$emulate "$program" completions bash >"$made/anchorwatch.bash"
$emulate "$program" completions zsh >"$made/_anchorwatch"
$emulate "$program" completions fish >"$made/anchorwatch.fish"

# The tool writes beside each Cargo.toml, so it is given a copy of them.
manifests=$(mktemp -d)
trap 'rm -rf "$manifests"' EXIT
git ls-files -z | tar --null --files-from=- --exclude='*.jpg' --exclude='*.onnx' -c | tar -x -C "$manifests"
# The revision's own time: the same source gives the same file.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
(cd "$manifests" && "$tools/cargo-cyclonedx" cyclonedx -q --format json --no-build-deps --target "$triple" \
    --override-filename anchorwatch.cdx)
cp "$manifests/anchorwatch.cdx.json" "$made/"

package=$("$tools/cargo-deb" deb --quiet --no-build --no-strip --profile dist --target "$triple" \
    --output "$CARGO_TARGET_DIR/debian/" 2>&1 | tee /dev/stderr | tail -n 1)
cp "$made/anchorwatch.cdx.json" "${package%.deb}.cdx.json"
echo "$package"
