# Read by the scripts that need a program from crates.io (`.`): `cargo_tool NAME VERSION` installs it into
# the cache folder, once; it is then $tools/NAME.
# shellcheck shell=sh

tools=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/tools/bin

cargo_tool() {
    if [ "$("$tools/$1" --version 2>/dev/null | grep -o '[0-9][0-9.]*$')" != "$2" ]; then
        # Apart from what this repository builds, whose profiles are none of its business.
        (cd / && CARGO_TARGET_DIR="$tools/../target" \
            cargo install -q --locked --root "$tools/.." --version "$2" "$1" >&2)
        rm -rf "$tools/../target"
    fi
}
