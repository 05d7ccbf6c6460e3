#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What the scripts share; sourced, never run. What they make that is not tmbpf itself is kept
# outside the repository, in $TMBPF_CACHE.

# bpftool and debootstrap lie where a plain user's PATH does not look.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# shellcheck disable=SC2034 # for the scripts
top=$(cd "$(dirname "$0")/.." && pwd)
cache=${TMBPF_CACHE:-/var/cache/tmbpf}
prog=${0##*/}

die()
{
	echo "$prog: $*" >&2
	exit 1
}

say()
{
	echo "$prog: $*" >&2
}

need_root()
{
	[ "$(id -u)" -eq 0 ] || die "needs root: run it as root or with sudo"
}

# as_root COMMAND...: with sudo where this is not root
as_root()
{
	(as_root_exec "$@")
}

# The same in place of the script.
as_root_exec()
{
	if [ "$(id -u)" -eq 0 ]; then
		exec "$@"
	elif command -v sudo >/dev/null 2>&1; then
		exec sudo "$@"
	else
		die "not root, and there is no sudo; run it as root"
	fi
}

# Builds with as many jobs as there are processors, also when make itself called the script.
build()
{
	(unset MAKEFLAGS MFLAGS MAKELEVEL &&
		make --no-print-directory -C "$top" -j "$(nproc)" "$@")
}

# need_command NAME PACKAGE
need_command()
{
	command -v "$1" >/dev/null 2>&1 ||
		die "$1 is missing: install the package $2 (scripts/deps does)"
}

# The archive that this system itself installs from; $TMBPF_MIRROR overrides it.
debian_mirror()
{
	if [ -n "${TMBPF_MIRROR:-}" ]; then
		echo "$TMBPF_MIRROR"
		return
	fi
	need_command apt-get apt
	mirror=$(apt-get update --print-uris 2>/dev/null |
		sed -n "s|^'\(.*\)/dists/$(debian_codename)/\(In\)\{0,1\}Release'.*|\1|p" |
		head -n 1)
	[ -n "$mirror" ] ||
		die "no Debian archive is configured in apt; name one in TMBPF_MIRROR"
	echo "$mirror"
}

debian_codename()
{
	# shellcheck disable=SC1091 # read from the running system
	(. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME:-sid}") || echo none
}

debian_keyring()
{
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -f "$keyring" ] ||
		die "$keyring is missing: install the package debian-archive-keyring"
	echo "$keyring"
}

# Holds $cache/NAME.lock until the script ends: two runs at once never write the same place.
# lock_cache NAME
lock_cache()
{
	need_command flock util-linux
	mkdir -p "$cache" || die "cannot make $cache; name another folder in TMBPF_CACHE"
	exec 9>"$cache/$1.lock" || die "cannot write $cache/$1.lock"
	flock -n 9 && return
	say "another run holds $cache/$1.lock; waiting for it"
	flock -w "${TMBPF_LOCK_WAIT:-3600}" 9 || die "gave up waiting for $cache/$1.lock"
}
