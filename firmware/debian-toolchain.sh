# Read by the other scripts: Debian's packages for building firmware, and `build_board BOARD [CARGO ARGUMENTS]`.
# Programs come to lie in $cache/firmware/TARGET/release. Debian's own Rust (packages *-web) is used, since it
# has the standard library's sources where cargo looks for them; rustup's works as well (see README.md).

cache=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/firmware

. ../scripts/debian-packages.sh

build_board() {
    need rustc-web cargo-web rust-web-src binutils-arm-none-eabi gcc libc6-dev
    board=$1
    shift
    (
        cd "boards/$board"
        unset RUSTUP_TOOLCHAIN
        PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$cache/target" \
            /usr/bin/cargo build --release --locked -Zbuild-std=core,alloc "$@"
    )
}

# The network for QEMU's board: that of ANCHORWATCH_NETWORK and ANCHORWATCH_VECTORS, files that
# `anchorwatch firmware` wrote, or else models/tiny.onnx, with the sample video's pictures.
need_network() {
    if [ -z "${ANCHORWATCH_NETWORK:-}" ]; then
        echo "models/tiny.onnx for a microcontroller:" >&2
        (
            cd ..
            # --workspace: as the other checks build it, so that nothing is built twice.
            cargo build -q --release --locked --workspace --bin anchorwatch
            "${CARGO_TARGET_DIR:-target}/release/anchorwatch" firmware models/tiny.onnx --out "$cache/network" \
                --vectors 100 --source models/samples/demo.avi >&2
        )
        ANCHORWATCH_NETWORK=$cache/network/network.bin
        ANCHORWATCH_VECTORS=$cache/network/vectors.bin
    fi
    export ANCHORWATCH_NETWORK ANCHORWATCH_VECTORS
}

# Fails if a turn of a board's main loop can panic, if a program can panic at all, or if its stack can get
# deeper than is promised.
check_stack() {
    need binutils-arm-none-eabi python3
    for arm in "thumbv7em-none-eabihf/release/$1" "thumbv6m-none-eabi/release/$1"; do
        program=$cache/target/$arm
        if [ -e "$program" ]; then
            shift
            ./stack.py --limit 8192 "$@" "$program"
            return
        fi
    done
    echo "check_stack: $1 has not been built" >&2
    return 1
}
