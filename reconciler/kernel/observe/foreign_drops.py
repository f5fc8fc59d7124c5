"""Finds chains of others with policy drop: of nftables, iptables-nft and iptables-legacy."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import transport
from reconciler.kernel.nftables import nft_decode, nft_tables
from reconciler.model.errors import KernelError
from reconciler.model.names import table_owner
from reconciler.model.rows import Barrier

_FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}  # NFPROTO_*
_HOOKS = ("prerouting", "forward", "postrouting")  # the hooks that a forwarded packet passes
_DORMANT = 0x1  # NFT_TABLE_F_DORMANT
NOTE = b"netrecon"  # in the comment of a rule: the administrator has let our packets through this chain


def barriers(kernel: Kernel, scope: str) -> tuple[Barrier, ...]:
    """The chains of one scope that have policy drop, are not ours, and have no rule with ``netrecon`` in its comment.

    Raises KernelError where the namespace is missing.
    """
    return (*_of_nftables(kernel, scope), *kernel.run(scope, _of_iptables))


# ------------------------------------------------------------------ nftables and iptables-nft


def _of_nftables(kernel: Kernel, scope: str) -> list[Barrier]:
    for _ in range(transport.RETRIES):
        try:
            return list(_of_one_generation(kernel, scope))
        except nft_tables.Changed:  # on a host with containers the rules change often
            continue
        except (KernelError, OSError):  # the kernel has no nf_tables
            break
    return []


def _of_one_generation(kernel: Kernel, scope: str) -> Iterator[Barrier]:
    ruleset = nft_tables.Ruleset(kernel.socket(scope, transport.NETFILTER), family=0)
    dormant = {
        (body[0], nft_decode.text(row[nft_decode.TABLE_NAME]))
        for body, row in ruleset.of_any_family(nft_tables.GETTABLE)
        if nft_decode.number(row, nft_decode.TABLE_FLAGS) & _DORMANT
    }
    for body, row in ruleset.of_any_family(nft_tables.GETCHAIN):
        barrier = _dropping(body, row)
        if barrier and (body[0], barrier.table) not in dormant and not _has_note(kernel, scope, body[0], barrier):
            yield barrier


def _dropping(body: bytes, row: nft_decode.Attributes) -> Barrier | None:
    form = nft_decode.chain_form(row).split()
    table = nft_decode.text(row[nft_decode.CHAIN_TABLE])
    family = _FAMILIES.get(body[0])
    if family is None or form[3:5] != ["policy", "drop"] or form[1] not in _HOOKS:
        return None
    if family == "inet" and table_owner(table):  # our tables are all of family inet
        return None
    return Barrier(family, table, nft_decode.text(row[nft_decode.CHAIN_NAME]), form[1])


def _has_note(kernel: Kernel, scope: str, family: int, barrier: Barrier) -> bool:
    ruleset = nft_tables.Ruleset(kernel.socket(scope, transport.NETFILTER), family)
    named = ((nft_decode.RULE_TABLE, barrier.table), (nft_decode.RULE_CHAIN, barrier.chain))
    return any(NOTE in body for body in ruleset.dump(nft_tables.GETRULE, *named))


# ------------------------------------------------------------------ iptables-legacy

_GET_INFO, _GET_ENTRIES = 64, 65  # IPT_SO_GET_*, IP6T_SO_GET_* (linux/netfilter_ipv4/ip_tables.h)
_NAME = b"filter".ljust(32, b"\0")
_INFO = struct.Struct("=32sI5I5III")  # ipt_getinfo: name, valid_hooks, hook_entry, underflow, num_entries, size
_FORWARD = 2  # NF_INET_FORWARD
_HEADER = 40 if struct.calcsize("P") == 8 else 36  # size of struct ipt_get_entries with its padding
_DROP = -1  # the verdict -NF_DROP - 1
# (family, file under /proc/net, domain, level, size of struct ipt_ip or ip6t_ip6).  In struct ipt_entry that struct is
# followed by a word (nfcache) and the offset of the target.
_LEGACY = (
    ("ip", "ip_tables_names", socket.AF_INET, socket.IPPROTO_IP, 84),
    ("ip6", "ip6_tables_names", socket.AF_INET6, socket.IPPROTO_IPV6, 136),
)


def _of_iptables() -> tuple[Barrier, ...]:
    """The FORWARD chains of iptables-legacy; only tables in use are read: reading another one would create it."""
    return tuple(
        Barrier(family, "filter", "FORWARD", "forward", legacy=True)
        for family, names, domain, level, length in _LEGACY
        if _in_use(names) and _drops_forwarded(domain, level, length)
    )


def _in_use(names: str) -> bool:
    try:
        with open(f"/proc/thread-self/net/{names}", encoding="ascii", errors="replace") as file:
            return "filter" in file.read().split()
    except OSError:
        return False


def _drops_forwarded(domain: int, level: int, length: int) -> bool:
    with socket.socket(domain, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as sock:
        try:
            info = _INFO.unpack(_ask(sock, level, _GET_INFO, _NAME.ljust(_INFO.size, b"\0")))
            underflow, size = info[7 + _FORWARD], info[-1]
            request = (_NAME + struct.pack("=I", size)).ljust(_HEADER + size, b"\0")
            table = _ask(sock, level, _GET_ENTRIES, request)[_HEADER:]
        except OSError:
            return False
    target = struct.unpack_from("=H", table, underflow + length + 4)[0]
    verdict = struct.unpack_from("=i", table, underflow + target + 32)[0]  # after the 32 bytes of xt_entry_target
    return bool(verdict == _DROP and NOTE not in table)


def _ask(sock: socket.socket, level: int, option: int, request: bytes) -> bytes:
    """getsockopt(2) with a request in the buffer, which socket.getsockopt cannot pass; raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    buffer, length = ctypes.create_string_buffer(request, len(request)), ctypes.c_uint32(len(request))
    if library.getsockopt(sock.fileno(), level, option, buffer, ctypes.byref(length)) != 0:
        code = ctypes.get_errno() or errno.EIO
        raise OSError(code, os.strerror(code))
    return buffer.raw[: length.value]
