# Read by the scripts that build what is shipped (`.`), after $target is set: what cargo needs for it.
#
# - A linker that links against the C library named here, an old one, whatever the building system has:
#   the program then runs on every system with that C library or a newer one. It is zig's, from PyPI,
#   kept in the cache folder, and called through cargo-zigbuild, which knows rustc's ways with linkers.
# - SQLite without what the field log does not use: full-text search, R-trees, JSON, statistics.
# - The folders of whoever builds do not get into the program: they are of no interest in its messages.
# shellcheck shell=sh

libc=2.31 # Ubuntu 20.04 (JetPack 5), Debian 11 (Raspberry Pi OS "Bullseye"), and all that came later
zig=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/zig
if [ ! -e "$zig/done" ]; then
    if ! python3 -c 'import ensurepip' 2>/dev/null; then
        . scripts/debian-packages.sh
        need python3-venv
    fi
    python3 -m venv --clear "$zig" >&2
    "$zig/bin/python" -m pip install -q --disable-pip-version-check ziglang==0.13.0 cargo-zigbuild==0.24.1 >&2
    touch "$zig/done"
fi
name=$(echo "$target" | tr a-z- A-Z_)
flags=$(printenv "CARGO_TARGET_${name}_RUSTFLAGS" || true)
case $target in
*-musl)
    architecture=${target%%-*}
    zig_target="-target $architecture-linux-musl"
    # The linker brings musl and what a program begins and ends with.
    flags="$flags -C link-self-contained=no"
    ;;
aarch64-*) zig_target="-target aarch64-linux-gnu.$libc" ;;
armv7-*) zig_target="-target arm-linux-gnueabihf.$libc -mcpu=generic+v7a+vfp3-d32+thumb2-neon" ;;
x86_64-*) zig_target="-target x86_64-linux-gnu.$libc" ;;
esac
zig_command=$(echo "$zig"/lib/python3*/site-packages/ziglang/zig)
linker=$zig/link-$target
cat >"$linker" <<END
#!/bin/sh
# Written by scripts/shipping.sh.
export CARGO_ZIGBUILD_ZIG_VERSION=0.13.0
export CARGO_ZIGBUILD_ZIG_COMMAND="$zig_command"
exec "$zig/bin/cargo-zigbuild" zig cc -- $zig_target "\$@"
END
chmod +x "$linker"
case $target in
*-musl)
    # What is in C is compiled for musl too, and v4l's binding generator reads the kernel's headers beside it.
    archiver=$zig/ar-$target
    printf '#!/bin/sh\nexec "%s" ar "$@"\n' "$zig_command" >"$archiver"
    chmod +x "$archiver"
    variable=$(echo "$target" | tr - _)
    export "CC_$variable=$linker" "AR_$variable=$archiver"
    headers=${zig_command%/zig}/lib/libc/include
    kernel=$architecture
    [ "$architecture" != x86_64 ] || kernel=x86
    export "BINDGEN_EXTRA_CLANG_ARGS_$variable=-isystem $headers/$architecture-linux-musl -isystem $headers/generic-musl \
-isystem $headers/$kernel-linux-any -isystem $headers/any-linux-any"
    ;;
esac

export "CARGO_TARGET_${name}_LINKER=$linker"
export "CARGO_TARGET_${name}_RUSTFLAGS=$flags --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
LIBSQLITE3_FLAGS="-USQLITE_ENABLE_FTS3 -USQLITE_ENABLE_FTS3_PARENTHESIS -USQLITE_ENABLE_FTS5 -USQLITE_ENABLE_RTREE \
-USQLITE_ENABLE_DBSTAT_VTAB -USQLITE_ENABLE_STAT4 -DSQLITE_OMIT_JSON"
export LIBSQLITE3_FLAGS
