# Read by the other scripts: Debian's packages for building firmware, and `build_board BOARD [CARGO ARGUMENTS]`.
# Programs come to lie in $cache/firmware/TARGET/release. Debian's own Rust (packages *-web) is used, since it
# has the standard library's sources where cargo looks for them; rustup's works as well (see README.md).

cache=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/firmware

need_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -q
    # shellcheck disable=SC2086 # one word a package
    $as_root apt-get install -y -q --no-install-recommends $missing
}

build_board() {
    need_packages rustc-web cargo-web rust-web-src binutils-arm-none-eabi gcc libc6-dev
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
# `anchorwatch firmware` wrote, or else a random one of the same shape as the trainer's `tiny`.
need_network() {
    if [ -z "${ANCHORWATCH_NETWORK:-}" ]; then
        mkdir -p "$cache/network"
        (
            cd boards/tests
            CARGO_TARGET_DIR="$cache/tests" cargo run -q --locked --bin make-network "$cache/network"
        )
        ANCHORWATCH_NETWORK=$cache/network/network.bin
        ANCHORWATCH_VECTORS=$cache/network/vectors.bin
    fi
    export ANCHORWATCH_NETWORK ANCHORWATCH_VECTORS
}
