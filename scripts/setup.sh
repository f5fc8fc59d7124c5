#!/usr/bin/env bash
# Installs the system packages that are missing: setup.sh run|test
# With nothing missing it neither needs the network nor root.
set -euo pipefail

python=${PYTHON:-python3}
missing=()
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

need() { # COMMAND PACKAGE
    command -v "$1" >/dev/null || missing+=("$2")
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup: $python must be Python 3.11 or newer (or name another one: make PYTHON=python3.12)" >&2
    exit 1
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
"$python" -c 'import ctypes; ctypes.CDLL("libnftables.so.1")' 2>/dev/null || missing+=(libnftables1)
need nft nftables
need ip iproute2
need ping iputils-ping
need curl curl
need unshare util-linux
if [[ ${1:-run} == test ]]; then
    need strace strace
    need tcpdump tcpdump
    need conntrack conntrack
    need socat socat
    need iptables-legacy iptables
    need iptables-legacy iptables
fi

((${#missing[@]})) || exit 0

if ! command -v apt-get >/dev/null; then
    echo "setup: missing here, under their Debian names: ${missing[*]}; install them with your package manager" >&2
    exit 1
fi
if ((EUID)); then
    echo "setup: missing: ${missing[*]}; run as root: apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q </dev/null
apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
