# Read by the scripts that need packages of Debian's (`.`). Root, or sudo, is needed where one is missing, and
# not otherwise.
# shellcheck shell=sh

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo

# What packages there are. One list that cannot be fetched ends nothing: what is needed may be in the others.
package_lists() {
    $as_root apt-get update -q >&2 ||
        echo "some package lists could not be fetched: going on with those that are here" >&2
}

# need PACKAGE...: installs those that are missing.
need() {
    missing=
    for needed in "$@"; do
        dpkg-query -W -f '${Status}' "$needed" 2>/dev/null | grep -q '^install ok' || missing="$missing $needed"
    done
    [ -n "$missing" ] || return 0
    package_lists
    # shellcheck disable=SC2086 # one word a package
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >&2
}
