# Read by the tests in this folder (`.`): a Debian kernel with its modules, and an initramfs to boot
# it with. From packages only, nothing is installed but emulators and tools; needs root (or sudo) once,
# for these. The kernel is unpacked into the cache folder.
# shellcheck shell=sh

boards_cache=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/boards
. scripts/debian-packages.sh

# kernel ARCHITECTURE: Debian's kernel for amd64, arm64 or armhf with its modules, as a folder. The ARM
# ones have device trees in it.
kernel() {
    folder=$boards_cache/kernel-$1
    if [ ! -e "$folder/done" ]; then
        if [ "$(dpkg --print-architecture)" != "$1" ] &&
            ! dpkg --print-foreign-architectures | grep -q "^$1\$"; then
            $as_root dpkg --add-architecture "$1"
        fi
        package_lists
        case $1 in
        armhf) flavour=armmp ;;
        *) flavour=$1 ;;
        esac
        # The package that the current one of this name depends on.
        image=$(apt-cache show "linux-image-$flavour:$1" | sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | head -n 1)
        rm -rf "$folder"
        mkdir -p "$folder/download"
        (cd "$folder/download" && apt-get download "$image:$1" >&2)
        dpkg -x "$folder"/download/*.deb "$folder"
        rm -r "$folder/download"
        touch "$folder/done"
    fi
    echo "$folder"
}

# arm_busybox arm64|armhf: Debian's static busybox for an ARM board, as a file.
arm_busybox() {
    busybox=$boards_cache/busybox-$1/bin/busybox
    if [ ! -e "$busybox" ]; then
        kernel "$1" >/dev/null # knows the packages of this architecture afterwards
        rm -rf "$boards_cache/download"
        mkdir -p "$boards_cache/download"
        (cd "$boards_cache/download" && apt-get download "busybox-static:$1" >&2)
        dpkg -x "$boards_cache"/download/busybox-static*.deb "$boards_cache/busybox-$1"
        rm -r "$boards_cache/download"
    fi
    echo "$busybox"
}

# modules KERNEL ROOT NAME...: copies kernel modules into ROOT/modules, and writes ROOT/modules/order.
modules() {
    from=$1 to=$2/modules
    shift 2
    mkdir -p "$to"
    : >"$to/order"
    for name in "$@"; do
        file=$(find "$from/lib/modules" -name "$name.ko*" | head -n 1)
        if [ -z "$file" ]; then
            echo "there is no module $name in $from" >&2
            return 1
        fi
        case $file in
        *.xz) xz -dc "$file" >"$to/$name.ko" ;;
        *) cp "$file" "$to/$name.ko" ;;
        esac
        echo "$name" >>"$to/order"
    done
}

# libraries ROOT PROGRAM PREFIX: the shared libraries that a program needs, as it looks for them.
# PREFIX is where those of another architecture lie, /usr/aarch64-linux-gnu or /usr/arm-linux-gnueabihf;
# empty for this one.
libraries() {
    mkdir -p "$1/lib" "$1/lib64"
    if [ -z "$3" ]; then
        ldd "$2" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\).*/\1/p' |
            while read -r library; do
                cp -L "$library" "$1/lib/"
            done
        cp -L /lib64/ld-linux-x86-64.so.2 "$1/lib64/" 2>/dev/null || true
    else
        # All that any program of ours asks for: with an old C library, some are files of their own.
        cp -L "$3"/lib/ld-linux-*.so.* "$1/lib/"
        for library in libc.so.6 libm.so.6 libgcc_s.so.1 libpthread.so.0 libdl.so.2 librt.so.1 \
            libutil.so.1; do
            cp -L "$3/lib/$library" "$1/lib/"
        done
    fi
}

# guest ROOT BUSYBOX PROGRAM PREFIX: a folder with a system that has the program, its libraries, and the
# beginning of its /init: devices, and the modules that are there (not vivid: when that comes is part of a test).
guest() {
    mkdir -p "$1/bin" "$1/proc" "$1/sys" "$1/dev" "$1/tmp" "$1/run"
    cp "$2" "$1/bin/busybox"
    cp "$3" "$1/bin/anchorwatch"
    libraries "$1" "$3" "$4"
    cat >"$1/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
for module in $(grep -v '^vivid$' /modules/order); do insmod /modules/$module.ko; done
INIT
    chmod +x "$1/init"
}

# initramfs ROOT FILE: packs a folder.
initramfs() {
    need busybox-static
    (cd "$1" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$2"
}
