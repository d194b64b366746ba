#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# initramfs.sh ARCHITECTURE KERNEL-DIRECTORY OUT PATH...: an initramfs with a small userland, the
# modules the tests need, and each PATH at its own absolute path, programs with their shared libraries.
# The userland is this machine's own, for another architecture that of userland.sh.
#
# Not compressed: it is handed to the guest in memory, where unpacking under emulation would cost
# more than it saves. Programs come without debug information, a tenth of the size.
set -eu
architecture=$1
kernel=$2
out=$(realpath -m "$3")
shift 3
here=$(dirname "$(realpath "$0")")
release=$(cat "$kernel/ready")
PATH=$PATH:/usr/sbin:/sbin
userland="" strip=strip
if [ "$architecture" != amd64 ]; then
	userland=$("$here/userland.sh" "$architecture")
	strip=aarch64-linux-gnu-strip
fi

# virtio: the disk for the results. tun: the laboratory of tests/support. The rest is traffic.
modules="virtio_pci virtio_blk veth tun sch_netem sch_tbf sch_fq sch_ingress cls_bpf tcp_bbr tcp_vegas tcp_dctcp tcp_diag"
# Where they are built in, or are none, kernel TLS works without them, or not at all. vxlan: for guest-drops alone.
optional="vxlan tls ctr ghash-generic gcm"
# busybox's own shell would run its own ip and tc instead of iproute2's.
applets="awk basename cat chmod cmp cp cut date dd dirname dmesg echo env false find grep head
hexdump hostname insmod kill ln ls lsmod mkdir mount mv nproc od poweroff printf ps pwd readlink
rm sed seq sleep sort strings sync tail tar tee test time timeout touch top tr true umount uname
uniq wc xargs zcat"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cd "$root"
mkdir -p bin sbin usr dev proc sys run tmp etc root out modules
chmod 755 . # mktemp makes it for its owner alone
chmod 1777 tmp
ln -s ../bin usr/bin
ln -s ../sbin usr/sbin

libraries() { # libraries ELF: the shared libraries it is started with
	if [ -z "$userland" ]; then
		ldd "$1" 2>/dev/null | grep -oE '/[^ )]+' || true
	else
		# ldd would start it. By name, and those of the libraries themselves in place().
		readelf -l "$1" | sed -n 's/.*program interpreter: \(.*\)]/\1/p'
		readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)]/\1/p' | while read -r name; do
			(cd "$userland" && find usr/lib/*-linux-gnu -maxdepth 1 -name "$name" | sed 's#^usr/#/#')
		done
	fi
}
place() { # place SOURCE DESTINATION: one file, with what it is linked with
	mkdir -p "./$(dirname "$2")"
	if readelf -h "$1" >/dev/null 2>&1; then
		"$strip" --strip-debug -o "./$2" "$1"
		chmod 755 "./$2"
		for library in $(libraries "$1"); do
			[ -e "./$library" ] && continue
			mkdir -p "./$(dirname "$library")"
			if [ -z "$userland" ]; then
				cp -L "$library" "./$library"
			else
				place "$(realpath "$userland$library")" "$library"
			fi
		done
	else
		cp -L "$1" "./$2"
	fi
}
installed() { # installed PROGRAM: where it is
	if [ -n "$userland" ]; then
		(cd "$userland" && find "$PWD/usr/bin" "$PWD/usr/sbin" -type f -name "$1" | grep .) && return
	else
		command -v "$1" && return
	fi
	echo "initramfs.sh: $1 is not installed; scripts/setup.sh installs what is needed" >&2
	exit 2
}
place "$(installed busybox)" bin/busybox
for applet in $applets; do
	ln -s busybox "bin/$applet"
done
for program in dash ip tc ss setpriv; do
	found=$(installed "$program")
	place "$(realpath "$found")" "bin/$program"
done
ln -s dash bin/sh
# Optional: for trying things by hand.
for program in bpftool iperf3 tcpdump strace; do
	if found=$(installed "$program" 2>/dev/null); then place "$(realpath "$found")" "bin/$program"; fi
done
for path in "$@"; do
	path=$(realpath -s "$path")
	if [ -d "$path" ]; then
		mkdir -p "./$path"
		cp -a "$path/." "./$path"
	else
		place "$path" "$path"
		# Under its short name too, unless that is a system program's.
		[ -e "bin/${path##*/}" ] || ln -s "$path" "bin/${path##*/}"
	fi
done

# In the order in which they must be loaded; what is built in is not printed as insmod. Without
# the machine's own modprobe configuration.
mkdir "$root/modprobe.d"
for module in $modules; do
	modprobe -C "$root/modprobe.d" -d "$kernel/root" -S "$release" --show-depends "$module"
done >"$root/depends"
for module in $optional; do
	modprobe -C "$root/modprobe.d" -d "$kernel/root" -S "$release" --show-depends "$module" 2>/dev/null || true
done >>"$root/depends"
cat "$root/depends" | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' |
	while read -r file; do
		name=$(basename "${file%.xz}")
		case $file in
		*.xz) xz -dc "$file" >"modules/$name" ;;
		*) cp "$file" "modules/$name" ;;
		esac
		echo "$name"
	done >modules/order
rmdir "$root/modprobe.d"
rm "$root/depends"
place "$here/init" init
chmod 755 init
find . | cpio -o -H newc --quiet >"$out"
