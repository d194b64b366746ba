#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Runs a command in a virtual machine with a stock Debian kernel, under software emulation.
#
#   scripts/guest/run.sh [OPTIONS] KERNEL COMMAND [ARGUMENT...]
#
#   KERNEL           5.10, 6.1, 6.12, 6.18 or another series: its newest Debian cloud kernel; or newest
#   COMMAND          one word with spaces is a script for dash; else a program with its arguments
#   --file PATH      also put this file or directory into the guest, at the same absolute path;
#                    programs with their shared libraries (may be repeated)
#   --out DIR        where the guest's directory /out goes when it ends
#   --env NAME=VALUE set in the guest (may be repeated)
#   --timeout SECONDS  end the guest after this time (default 300); status 124
#   --arch ARCHITECTURE  of the emulated machine: amd64 (default) or arm64
#
# estats-record and estats-analyze of target/debug (of another architecture: of
# target/aarch64-unknown-linux-gnu/debug) are in the guest, by name and by path. Its console is
# standard output, its exit status that of the command; 125 if the guest ended early. A guest that ends
# before it has booted is started again, at most twice: emulated kernels crash so now and then.
#
#   scripts/guest/run.sh 6.1 estats-record check
#   scripts/guest/run.sh 6.12 'estats-record -o /out/run --duration 3s; dmesg | tail' --out /tmp/o
set -eu
here=$(dirname "$(realpath "$0")")
top=$(realpath "$here/../..")
out="" timeout=300 kernel="" files="" architecture=amd64
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/command"

quoted() { # quoted WORD: for the shell
	printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"
}
usage() {
	sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
	exit 2
}
while [ $# -gt 0 ]; do
	case $1 in
	--file | --out | --env | --timeout | --arch) [ $# -gt 1 ] || usage ;;
	esac
	case $1 in
	--file) files="$files $(quoted "$(realpath -s "$2")")" && shift 2 ;;
	--out) out=$(realpath -m "$2") && shift 2 ;;
	--env) echo "export ${2%%=*}=$(quoted "${2#*=}")" >>"$work/command" && shift 2 ;;
	--timeout) timeout=$2 && shift 2 ;;
	--arch) architecture=$2 && shift 2 ;;
	-*) usage ;;
	*) break ;;
	esac
done
[ $# -gt 1 ] || usage
# tcg: in a cloud machine /dev/kvm may be there without working.
case $architecture in
amd64)
	built=$top/target/debug
	# tsc=unstable: on a busy host the guest measures its TSC wrongly, and time then runs several times
	# too fast; the emulated HPET and ACPI timer have fixed rates. no_timer_check: on a busy host Linux
	# 5.10 sees too few interrupts while it tests its timer, and panics: "IO-APIC + timer doesn't work!".
	console="ttyS0 tsc=unstable no_timer_check"
	machine="qemu-system-x86_64 -cpu max"
	;;
arm64)
	built=$top/target/aarch64-unknown-linux-gnu/debug
	console=ttyAMA0
	# pauth-impdef: pointer authentication by an algorithm that is cheap to emulate.
	machine="qemu-system-aarch64 -machine virt -cpu max,pauth-impdef=on"
	;;
*) usage ;;
esac
kernel=$("$here/kernel.sh" "$1" "$architecture")
shift
if [ $# = 1 ]; then
	printf '%s\n' "$1" >>"$work/command"
else
	for word; do printf '%s ' "$(quoted "$word")"; done >>"$work/command"
fi

for program in estats-record estats-analyze; do
	program=$built/$program
	[ -e "$program" ] && files="$files $(quoted "$program")"
done
eval "sh '$here/initramfs.sh' '$architecture' '$kernel' '$work/base.cpio' $files"
# The kernel unpacks one archive after the other.
(cd "$work" && echo command | cpio -o -H newc --quiet) >"$work/command.cpio"
cat "$work/base.cpio" "$work/command.cpio" >"$work/initramfs"
rm "$work/base.cpio"

# The guest, from its start to its end. Its console is standard output and $work/console.
start() {
	rm -f "$work/disk"
	truncate -s 1G "$work/disk" # sparse: only what the guest writes takes room
	status=0
	# shellcheck disable=SC2086 # the machine is several words
	timeout --foreground "$timeout" $machine -nodefaults -no-user-config -no-reboot \
		-display none -accel tcg -smp 2 -m 2048 \
		-chardev "stdio,id=console,logfile=$work/console,logappend=off" -serial chardev:console \
		-kernel "$kernel/vmlinuz" -initrd "$work/initramfs" \
		-append "console=$console quiet loglevel=4 panic=-1" \
		-drive "if=virtio,format=raw,cache=unsafe,file=$work/disk" </dev/null || status=$?
}
# The line that init writes before the command runs.
has_booted() {
	grep -aq 'guest: .*, booted in ' "$work/console"
}

# Nothing of ours has run in a guest that did not boot. One that ends later has not failed by chance.
start
for again in 1 2; do
	if [ "$status" != 0 ] || has_booted; then
		break
	fi
	echo "run.sh: Linux $(cat "$kernel/ready") ended before it had booted: started again ($again of 2)" >&2
	start
done
if [ "$status" = 124 ]; then
	echo "run.sh: the guest did not end within $timeout s" >&2
	exit 124
elif [ "$status" != 0 ]; then
	echo "run.sh: ${machine%% *} ended with status $status" >&2
	exit 125
fi
mkdir "$work/out"
tar -xf "$work/disk" -C "$work/out" 2>/dev/null || true
if ! status=$(cat "$work/out/.status" 2>/dev/null); then
	echo "run.sh: Linux $(cat "$kernel/ready") ended before the command did (see its console above)" >&2
	exit 125
fi
rm "$work/out/.status"
if [ -n "$out" ]; then
	rm -rf "$out"
	mkdir -p "$(dirname "$out")"
	cp -a "$work/out" "$out"
fi
exit "$status"
