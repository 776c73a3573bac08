#!/usr/bin/env bash
# Sets up the Python packages that some tests and benchmarks compare with (onnxruntime and onnx)
# or read with (duckdb), once, in the cache folder, and prints the path of the interpreter:
#
#   export PEERS_PYTHON="$(scripts/setup-python.sh)"
#
# Without them these tests are skipped, and say so. Arguments name further packages (openvino …).
set -euo pipefail
venv="${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/python"
packages=(duckdb numpy onnx onnxruntime "$@")
if [ ! -x "$venv/bin/python" ]; then
    # venv's ensurepip is a Debian package of its own; virtualenv brings what it needs.
    python3 -m venv "$venv" >&2 || {
        rm -rf "$venv"
        echo "setup-python: python3 -m venv failed: sudo apt-get install python3-venv" >&2
        exit 1
    }
fi
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
for package in "${packages[@]}"; do
    # Only pnnx's converter is used, which is a program by itself: not torch, which it asks for.
    [ "$package" != pnnx ] || "${pip[@]}" --no-deps pnnx >&2
done
"${pip[@]}" "${packages[@]/pnnx/numpy}" >&2
echo "$venv/bin/python"
