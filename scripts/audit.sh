#!/bin/sh
# Checks the dependencies of what is shipped, as deny.toml says: licences, where they come from, more than
# one version of the same; and, where the database of advisories can be reached, known weaknesses.
set -eu
cd "$(dirname "$0")/.."
. scripts/cargo-tools.sh
cargo_tool cargo-deny 0.20.2
"$tools/cargo-deny" --all-features check licenses bans sources
database=${RUSTSEC_DB:-https://github.com/rustsec/advisory-db}
if git ls-remote -q "$database" HEAD >/dev/null 2>&1; then
    "$tools/cargo-deny" --all-features check advisories
else
    echo "audit: the advisories were NOT checked: $database cannot be reached from here" >&2
fi
