"""Gives one of our nftables tables another name, with all that is in it.

The kernel renames no table.  A copy is made of the bytes that the kernel shows of the old one, so that it has the
administrator's rules, comments, counters and timeouts too.  One transaction makes it, and a second one deletes the old
table.  In a single one, a packet that took the hook's list of chains before the new chain was in it, or passed the new
chain before the rules changed, meets the old chain when that is empty (measured; docs/safety.md).
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from typing import Any

from reconciler.kernel.netlink import transport
from reconciler.kernel.nftables import batch
from reconciler.kernel.nftables import nft_decode as nft
from reconciler.kernel.nftables.batch import SUBSYSTEM, Message, Refusal
from reconciler.kernel.nftables.nft_decode import Attributes
from reconciler.kernel.nftables.nft_tables import (
    GETCHAIN,
    GETRULE,
    GETSET,
    GETSETELEM,
    GETTABLE,
    Changed,
    Ruleset,
    Visits,
)
from reconciler.model.data import NamedTuple
from reconciler.model.errors import Failure, KernelError
from reconciler.model.names import RENAMED_CHAIN

_GETOBJ, _GETFLOWTABLE = SUBSYSTEM << 8 | 19, SUBSYSTEM << 8 | 23
_DELTABLE, _NEWSETELEM = 2, 12
_OF_TABLE = 1  # in every message but NEWTABLE, the first attribute is the table's name
_SET_ID, _ELEMENTS = 10, 3
_KEY, _ELEMENT_FLAGS, _INTERVAL_END, _KEY_END = 1, 3, 0x1, 10
_ACCEPT = 1  # NF_ACCEPT
_OWNED = 0x2  # NFT_TABLE_F_OWNER
_CHUNK = 1 << 15  # bytes of elements in one message: an attribute holds less than 64 KiB
_CT_TIMEOUT = 7  # NFT_OBJECT_CT_TIMEOUT
_DREG, _OFFSET, _LENGTH, _FLAGS, _SREG = 1, 3, 4, 5, 7  # NFTA_EXTHDR_*


class Part(NamedTuple):
    """One sort of what a table holds: how it is read and made, which attributes are copied, which are the kernel's."""

    word: str
    get: int
    new: int
    name: int
    copied: frozenset[int]
    own: frozenset[int]  # handles, numbers of users, padding: of the copy the kernel has others


_CHAINS = Part("chain", GETCHAIN, 3, 3, frozenset({3, 4, 5, 7, 8, 10, 12}), frozenset({2, 6, 9}))
_RULES = Part("rule", GETRULE, 6, 2, frozenset({2, 4, 5, 7}), frozenset({3, 6, 8}))
_SETS = Part(
    "set", GETSET, 9, 2, frozenset({2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 17, 18}), frozenset({10, 14, 16, 19, 20})
)
_OBJECTS = Part("object", _GETOBJ, 18, 2, frozenset({2, 3, 4, 8}), frozenset({5, 6, 7}))
_FLOWTABLES = Part("flowtable", _GETFLOWTABLE, 22, 2, frozenset({2, 3, 7}), frozenset({4, 5, 6}))
_TABLE = Part("table", GETTABLE, 0, 1, frozenset({2, 6}), frozenset({3, 4, 5, 7}))


def rename(kernel: Visits, scope: str, table: str, to: str) -> Failure | None:
    """Give the table the name ``to``, also where a killed run has begun to.  Raises KernelError."""
    sock = kernel.socket(scope, transport.NETFILTER)
    there = {name: _is_retired(sock, name) for name in _tables(sock)}
    refusal = None
    if there.get(to):  # on the way back: what a killed run has left is not the table as it was
        refusal = batch.send(sock, [_deleted(to)])
        del there[to]
    if refusal is None and not (there.get(table) and to in there):
        refusal = _exchange(sock, table, to, check=False)
        _wait_for_packets()
    refusal = refusal or batch.send(sock, [_deleted(table)])
    if refusal is None:
        return None
    return Failure(refusal.failure.errno, ": ".join(filter(None, [refusal.what, str(refusal.failure)])))


def foreseen(kernel: Visits, scope: str, table: str, to: str) -> str:
    """What of the table cannot be carried to the new name as it is, and why; "" where all of it can."""
    refusal = _exchange(kernel.socket(scope, transport.NETFILTER), table, to, check=True)
    return "" if refusal is None else f"{refusal.what or 'it'} cannot be carried over: {refusal.failure}"


def _exchange(sock: Any, table: str, to: str, check: bool) -> Refusal | None:
    """Make the copy, and retire the old table, in one transaction."""
    refusal: Refusal | None = Refusal("", Failure(errno.EAGAIN, "the nftables ruleset keeps changing"))
    for _ in range(transport.RETRIES):
        try:
            number = batch.generation(sock)
            messages = list(_copy(Ruleset(sock), table, to))
        except Changed:
            continue
        except _Left as left:
            return left.refusal
        refusal = batch.send(sock, [*messages, *([_deleted(table)] if check else [])], number, check)
        if not batch.outdated(refusal):
            break
    return refusal


def _wait_for_packets() -> None:
    """Return when no packet is on its way through the chains that it met before: the kernel waits when this closes."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()  # packet_release() calls synchronize_net()
    except OSError:
        time.sleep(0.05)


def _tables(sock: Any) -> list[str]:
    return [nft.text(row[1]) for row in Ruleset(sock).rows(GETTABLE)]


def _is_retired(sock: Any, table: str) -> bool:
    """Whether a copy of the table was made, so that it only waits to be deleted."""
    rows = Ruleset(sock).rows(GETCHAIN)
    return any((nft.text(row[1]), nft.text(row[3])) == (table, RENAMED_CHAIN) for row in rows)


def _deleted(table: str) -> Message:
    return Message(_DELTABLE, _name(table), f"table {table}", 0)


class _Left(Exception):
    """Something that the kernel would not have as it was."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what)
        self.refusal = Refusal(what, Failure(errno.ENOTSUP, why))


# ------------------------------------------------------------------ what the table holds, as messages that make it


def _copy(ruleset: Ruleset, table: str, to: str) -> Iterator[Message]:
    """The messages for the new table, each after what it refers to, and those that retire the old one.

    What packets change (elements, counters) is read last: what they change until the batch is sent is not in it.
    """
    rows = {part: _of(ruleset, part, table) for part in (_FLOWTABLES, _CHAINS, _SETS)}
    rows[_CHAINS] = [row for row in rows[_CHAINS] if nft.text(row[3]) != RENAMED_CHAIN]
    held = next((row for row in ruleset.rows(GETTABLE) if nft.text(row[1]) == table), None)
    if held is None:
        raise KernelError(f"table inet {table}", Failure(errno.ENOENT))
    if nft.number(held, 2) & _OWNED:
        raise _Left(f"table {table}", "a process owns it, and only that process may change it")
    named = {nft.text(row[2]): row for row in rows[_SETS]}
    elements = [message for name, row in named.items() for message in _elements(ruleset, table, to, name, row)]
    objects, rules = _of(ruleset, _OBJECTS, table), _of(ruleset, _RULES, table)
    yield Message(0, _name(to) + _attributes(_TABLE, held, f"table {table}"), f"table {to}", _NEW)
    for part in (_FLOWTABLES, _CHAINS):
        yield from _made(part, rows[part], to)
    yield from _made(_OBJECTS, objects, to)
    yield from _made(_SETS, rows[_SETS], to)
    yield from elements
    yield from _rules(rules, to)
    yield from _retired(rows[_CHAINS], table)


_NEW = transport.NLM_F_CREATE | transport.NLM_F_EXCL
_APPENDED = transport.NLM_F_CREATE | transport.NLM_F_APPEND


def _retired(chains: Iterable[Attributes], table: str) -> Iterator[Message]:
    """A mark, and policy accept: of a deleted chain the rules go before the policy, which would drop packets."""
    yield Message(_CHAINS.new, _name(table) + transport.attribute(3, RENAMED_CHAIN.encode() + b"\0"), "the mark", _NEW)
    for row in chains:
        if nft.CHAIN_HOOK in row and nft.number(row, nft.CHAIN_POLICY) != _ACCEPT:
            policy = transport.attribute(nft.CHAIN_POLICY, struct.pack(">I", _ACCEPT))
            name = transport.attribute(3, row[3])
            yield Message(_CHAINS.new, _name(table) + name + policy, f"policy of {nft.text(row[3])}", 0)


def _of(ruleset: Ruleset, part: Part, table: str) -> list[Attributes]:
    """The rows of this sort in the table; a kernel without flowtables has none."""
    try:
        rows = ruleset.rows(part.get, (_OF_TABLE, table))
    except KernelError as error:
        if part is _FLOWTABLES and error.failure.errno in (errno.EOPNOTSUPP, errno.EINVAL):
            return []
        raise
    return [row for row in rows if nft.text(row[_OF_TABLE]) == table]


def _made(part: Part, rows: Iterable[Attributes], to: str) -> Iterator[Message]:
    for number, row in enumerate(rows, 1):
        what = f"{part.word} {nft.text(row[part.name])}"
        more = transport.attribute(_SET_ID, struct.pack(">I", number)) if part is _SETS else b""
        yield Message(part.new, _name(to) + _attributes(part, row, what) + more, what)


def _rules(rows: Iterable[Attributes], to: str) -> Iterator[Message]:
    """The rules in their order; those of a chain that a rule has within itself (jump { ... }) come before that rule."""
    by_chain: dict[str, list[Attributes]] = {}
    for row in rows:
        by_chain.setdefault(nft.text(row[_RULES.name]), []).append(row)
    while by_chain:
        yield from _rules_of(next(iter(by_chain)), by_chain, to)


def _rules_of(chain: str, by_chain: dict[str, list[Attributes]], to: str) -> Iterator[Message]:
    for number, row in enumerate(by_chain.pop(chain), 1):
        for inner in [name for name in by_chain if name.startswith("__chain")]:
            if inner in by_chain and inner.encode() + b"\0" in row.get(4, b""):
                yield from _rules_of(inner, by_chain, to)
        what = f"rule {number} of chain {chain}"
        yield Message(_RULES.new, _name(to) + _attributes(_RULES, row, what), what, _APPENDED)


def _attributes(part: Part, row: Attributes, what: str) -> bytes:
    """The attributes to copy, as the kernel shows them."""
    unknown = row.keys() - part.copied - part.own - {_OF_TABLE}
    if unknown:
        raise _Left(what, f"this kernel shows an attribute of it that netrecon does not know ({min(unknown)})")
    kept = ((kind, value) for kind, value in row.items() if kind in part.copied)
    copied = b"".join(transport.attribute(kind, _taken(value)) for kind, value in kept)
    if b"connlimit\0" in copied or (part is _OBJECTS and nft.number(row, 3) == 5):
        raise _Left(what, "ct count: the kernel does not show the connections that it has counted")
    if part is _OBJECTS and nft.number(row, 3) == _CT_TIMEOUT:
        raise _Left(what, "ct timeout: running flows would lose it")
    return copied


def _taken(value: bytes) -> bytes:
    """The value as the kernel takes it: of an extension header that a rule sets or resets it shows more than that."""
    if b"exthdr\0" not in value:
        return value
    return b"".join(transport.attribute(kind, _expression(element)) for kind, element in nft.attributes(value))


def _expression(element: bytes) -> bytes:
    words = dict(nft.attributes(element))
    if nft.text(words[1]) != "exthdr":
        return element
    data = dict(nft.attributes(words[2]))
    if _DREG in data:  # the rule only reads it
        return element
    surplus = {_FLAGS} if _SREG in data else {_FLAGS, _OFFSET, _LENGTH}
    kept = b"".join(transport.attribute(kind, value) for kind, value in data.items() if kind not in surplus)
    return transport.attribute(1, words[1]) + transport.attribute(2, kept)


def _name(table: str) -> bytes:
    return transport.attribute(_OF_TABLE, table.encode() + b"\0")


# ------------------------------------------------------------------ elements


def _elements(ruleset: Ruleset, table: str, to: str, name: str, row: Attributes) -> Iterator[Message]:
    what = f"set {name}"
    head = _name(to) + transport.attribute(2, name.encode() + b"\0")
    listed = [
        element
        for body in ruleset.dump(GETSETELEM, (1, table), (2, name))
        for kind, value in nft.attributes(body, 4)
        if kind == _ELEMENTS
        for _, element in nft.attributes(value)
    ]
    if nft.number(row, nft.SET_FLAGS) & nft.INTERVAL and not any(_KEY_END in _words(one) for one in listed):
        listed.sort(key=_place)  # the kernel shows them in falling order, and takes them in rising order only
    for chunk in _chunks(listed):
        if b"connlimit\0" in chunk:
            raise _Left(what, "ct count: the kernel does not show the connections that it has counted")
        yield Message(_NEWSETELEM, head + transport.attribute(_ELEMENTS, chunk), f"elements of {what}")


def _words(element: bytes) -> Attributes:
    return dict(nft.attributes(element))


def _place(element: bytes) -> tuple[bytes, bool]:
    """Where an element of intervals stands: an end before a start with the same key."""
    words = _words(element)
    is_end = bool(nft.number(words, _ELEMENT_FLAGS) & _INTERVAL_END)
    return words.get(_KEY, b""), not is_end


def _chunks(elements: Iterable[bytes]) -> Iterator[bytes]:
    chunk = bytearray()
    for element in elements:
        chunk += transport.attribute(1, element)
        if len(chunk) > _CHUNK:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)
