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

need_library() { # FILE PACKAGE
    "$python" -c "import ctypes; ctypes.CDLL('$1')" 2>/dev/null || missing+=("$2")
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup: $python must be Python 3.11 or newer (or name another one: make PYTHON=python3.12)" >&2
    exit 1
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
need_library libnftables.so.1 libnftables1
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
    need_library libdevmapper.so.1.02.1 libdevmapper1.02.1
    need_library libseccomp.so.2 libseccomp2
fi

# The tests need a dockerd. Its packages are unpacked and not installed: their scripts would start one on this machine.
unpack_docker() {
    local tree folder
    tree=$(realpath -m "$0/../../.venv/docker")
    [[ ! -x $tree/usr/sbin/dockerd ]] || return 0
    folder=$(mktemp -d)
    echo "setup: unpacking docker.io into $tree"
    if cd "$folder" && download docker.io containerd runc busybox-static >log 2>&1; then
        mkdir -p "$tree"
        for package in *.deb; do dpkg-deb -x "$package" "$tree"; done
    else
        echo "setup: docker.io cannot be downloaded; the tests beside a real dockerd will be skipped" >&2
        tail -n 1 log >&2
    fi
    rm -rf "$folder"
}

download() {
    apt-get download -q "$@" </dev/null || { ((EUID == 0)) && apt-get update -q </dev/null && apt-get download -q "$@" </dev/null; }
}

if ((!${#missing[@]})); then
    [[ ${1:-run} != test ]] || unpack_docker
    exit 0
fi

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
log=$(mktemp)
if ! { apt-get update -q && apt-get install -q -y --no-install-recommends "${missing[@]}"; } </dev/null >"$log" 2>&1; then
    echo "setup: apt-get cannot install ${missing[*]}: $(grep '^[EW]:' "$log" | tail -n 1); is there a network?" >&2
    exit 1
fi
rm -f "$log"
[[ ${1:-run} != test ]] || unpack_docker
