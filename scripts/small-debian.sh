# Read by the scripts that try packages (`.`), as root: `small_debian ARCHITECTURE` makes a small Debian 12
# with systemd, as an archive in the cache folder, once, and prints its name. For another kind of processor
# the kernel is told to run programs under emulation (binfmt_misc), until the script ends.
# shellcheck shell=sh

debian_cache=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/debian

# The kernel runs programs of this architecture: by itself, or by an entry made here.
can_run() {
    case $1 in
    arm64) entry=qemu-aarch64 ;;
    armhf) entry=qemu-arm ;;
    *) return 0 ;;
    esac
    binfmt=/proc/sys/fs/binfmt_misc
    [ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt
    if [ ! -e $binfmt/$entry ]; then
        # -P in its name: called with the program's own first argument; F: found from inside a chroot.
        cat /usr/lib/binfmt.d/$entry.conf >$binfmt/register
        forget="${forget:-} $entry"
    fi
}

# To be called when the script ends.
forget_entries() {
    for entry in ${forget:-}; do echo -1 >/proc/sys/fs/binfmt_misc/"$entry"; done
}

small_debian() {
    archive=$debian_cache/bookworm-$1.tar
    if [ ! -e "$archive" ]; then
        mkdir -p "$debian_cache"
        mmdebstrap --quiet --format=tar --variant=minbase --arch="$1" --include=adduser,systemd-sysv,udev,kmod \
            --dpkgopt='path-exclude=/usr/share/locale/*' \
            bookworm "${archive%.tar}.part.tar" >&2
        mv "${archive%.tar}.part.tar" "$archive"
    fi
    echo "$archive"
}
