"""Chains of others that drop by default what we would let pass: nftables, iptables over it, and the old iptables."""

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
from reconciler.model.rows import Barrier

_FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}  # NFPROTO_*
_HOOKS = ("prerouting", "forward", "postrouting")  # what a published packet passes
_DORMANT = 0x1
NOTE = b"netrecon"  # a rule that says so is there for us: whoever wrote it knows of the barrier


def barriers(kernel: Kernel, scope: str) -> tuple[Barrier, ...]:
    """The chains of one scope with policy drop that are not ours and have no rule with ``netrecon`` in its comment."""
    return (*_of_nftables(kernel, scope), *kernel.run(scope, _of_iptables))


# ------------------------------------------------------------------ nftables, and iptables over it


def _of_nftables(kernel: Kernel, scope: str) -> list[Barrier]:
    for _ in range(transport.RETRIES):
        try:
            return list(_of_one_generation(kernel, scope))
        except nft_tables.Changed:  # as we look: a host with containers changes its rules often
            continue
        except (KernelError, OSError):  # no nf_tables here
            break
    return []


def _of_one_generation(kernel: Kernel, scope: str) -> Iterator[Barrier]:
    ruleset = nft_tables.Ruleset(kernel.socket(scope, transport.NETFILTER), family=0)
    asleep = {
        (body[0], nft_decode.text(row[nft_decode.TABLE_NAME]))
        for body, row in ruleset.of_any_family(nft_tables.GETTABLE)
        if nft_decode.number(row, nft_decode.TABLE_FLAGS) & _DORMANT
    }
    for body, row in ruleset.of_any_family(nft_tables.GETCHAIN):
        found = _dropping(body, row)
        if found and (body[0], found.table) not in asleep and not _known(kernel, scope, body[0], found):
            yield found


def _dropping(body: bytes, row: nft_decode.Attributes) -> Barrier | None:
    form = nft_decode.chain_form(row).split()
    table = nft_decode.text(row[nft_decode.CHAIN_TABLE])
    family = _FAMILIES.get(body[0])
    if family is None or form[3:5] != ["policy", "drop"] or form[1] not in _HOOKS:
        return None
    if family == "inet" and table.startswith(nft_tables.PREFIX):  # ours, which are of this family alone
        return None
    return Barrier(family, table, nft_decode.text(row[nft_decode.CHAIN_NAME]), form[1])


def _known(kernel: Kernel, scope: str, family: int, barrier: Barrier) -> bool:
    ruleset = nft_tables.Ruleset(kernel.socket(scope, transport.NETFILTER), family)
    named = ((nft_decode.RULE_TABLE, barrier.table), (nft_decode.RULE_CHAIN, barrier.chain))
    return any(NOTE in body for body in ruleset.dump(nft_tables.GETRULE, *named))


# ------------------------------------------------------------------ the old iptables

_GET_INFO, _GET_ENTRIES = 64, 65  # IPT_SO_GET_*, IP6T_SO_GET_* (linux/netfilter_ipv4/ip_tables.h)
_NAME = b"filter".ljust(32, b"\0")
_INFO = struct.Struct("=32sI5I5III")  # struct ipt_getinfo: name, hooks, entries, underflows, number, size
_FORWARD = 2  # NF_INET_FORWARD
_HEADER = 40 if struct.calcsize("P") == 8 else 36  # struct ipt_get_entries, its table aligned
_DROP = -1  # a verdict is -NF_DROP - 1
_OLD = (
    ("ip", "ip_tables_names", socket.AF_INET, socket.IPPROTO_IP, 84),
    ("ip6", "ip6_tables_names", socket.AF_INET6, socket.IPPROTO_IPV6, 136),
)  # and how long ipt_ip or ip6t_ip6 is: the target's offset follows it and a word


def _of_iptables() -> tuple[Barrier, ...]:
    """Looks only where a table is in use: asking for one that is not would create it."""
    return tuple(
        Barrier(family, "filter", "FORWARD", "forward", legacy=True)
        for family, names, domain, level, length in _OLD
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
    verdict = struct.unpack_from("=i", table, underflow + target + 32)[0]  # behind xt_entry_target
    return bool(verdict == _DROP and NOTE not in table)


def _ask(sock: socket.socket, level: int, option: int, request: bytes) -> bytes:
    """getsockopt with a request in the buffer, which Python's own cannot pass."""
    library = ctypes.CDLL(None, use_errno=True)
    buffer, length = ctypes.create_string_buffer(request, len(request)), ctypes.c_uint32(len(request))
    if library.getsockopt(sock.fileno(), level, option, buffer, ctypes.byref(length)) != 0:
        code = ctypes.get_errno() or errno.EIO
        raise OSError(code, os.strerror(code))
    return buffer.raw[: length.value]
