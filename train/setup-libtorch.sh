#!/usr/bin/env bash
# Sets up libtorch (CPU only, x86-64 Linux) for the trainer, once, in the cache folder, and prints
# its path. Needs Python 3 with pip, unzip or Python, and a C compiler.
#
#   export LIBTORCH="$(train/setup-libtorch.sh)"
#
# A user with a libtorch of their own (2.13) sets LIBTORCH instead and never runs this.
#
# The x86-64 wheel of torch on PyPI is a CUDA build, but libtorch_cpu.so needs only two small CUDA
# libraries, which come from wheels of their own; nothing of CUDA is used.
set -euo pipefail

version=2.13.0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch"
target="$cache/libtorch-$version"

if [ -f "$target/complete" ]; then
    echo "$target"
    exit 0
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "setup-libtorch: this recipe is for x86-64 Linux; install libtorch $version and set LIBTORCH to its folder" >&2
    exit 1
fi
for tool in python3 gcc; do
    command -v "$tool" >/dev/null || { echo "setup-libtorch: $tool is missing: sudo apt-get install python3 python3-pip gcc" >&2; exit 1; }
done
python3 -m pip --version >/dev/null 2>&1 || { echo "setup-libtorch: pip is missing: sudo apt-get install python3-pip" >&2; exit 1; }

mkdir -p "$cache"
work="$(mktemp -d "$cache/libtorch-setup.XXXXXX")"
trap 'rm -rf "$work"' EXIT
echo "setup-libtorch: downloading torch $version (527 MB) ..." >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 3.12 --implementation cp --abi cp312 --platform manylinux_2_28_x86_64 -d "$work" "torch==$version" >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps -d "$work" \
    nvidia-cuda-runtime==13.5.37 nvidia-cuda-cupti==13.5.25 >&2
echo "setup-libtorch: unpacking ..." >&2
python3 - "$work" <<'PY'
import glob, os, shutil, sys, zipfile

work = sys.argv[1]
out = os.path.join(work, "libtorch")
os.makedirs(os.path.join(out, "lib"))


def copy(archive, member, destination):
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    with archive.open(member) as source, open(destination, "wb") as target:
        shutil.copyfileobj(source, target)


with zipfile.ZipFile(glob.glob(f"{work}/torch-*.whl")[0]) as wheel:
    for member in wheel.namelist():
        if member.startswith("torch/include/") and not member.endswith("/"):
            copy(wheel, member, os.path.join(out, member.removeprefix("torch/")))
    for name in ("libc10.so", "libtorch_cpu.so", "libgomp.so.1"):
        copy(wheel, f"torch/lib/{name}", f"{out}/lib/{name}")
for package in ("nvidia_cuda_runtime", "nvidia_cuda_cupti"):
    with zipfile.ZipFile(glob.glob(f"{work}/{package}-*.whl")[0]) as wheel:
        for member in wheel.namelist():
            if os.path.basename(member) in ("libcudart.so.13", "libcupti.so.13"):
                copy(wheel, member, f"{out}/lib/{os.path.basename(member)}")
for name in ("libcudart.so.13", "libcupti.so.13"):
    if not os.path.exists(f"{out}/lib/{name}"):
        sys.exit(f"setup-libtorch: {name} is not in its wheel")
PY
gcc -shared -fPIC -Wl,-soname,libtorch.so -o "$work/libtorch/lib/libtorch.so" -x c /dev/null
echo "$version" >"$work/libtorch/build-version"
touch "$work/libtorch/complete"
rm -rf "$target"
mv "$work/libtorch" "$target"
echo "$target"
