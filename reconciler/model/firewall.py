"""Rules of any firewall as plain data: what each step of a rule looks at, and what it does."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from reconciler.model.data import NamedTuple

NFT, IPTABLES, IPTABLES_NFT, LEGACY = "nft", "iptables", "iptables-nft", "iptables-legacy"


class Load(NamedTuple):
    """A field of the packet, as the kernel has it in a register.

    ``what`` names it: payload (base, offset), meta (key), ct (key, original), fib (result, flags), const (value), or
    bridged.
    ``width`` is its length in bytes.  ``changes`` are applied in their order: ("mask", and, xor), ("swap", size).
    """

    what: tuple[Any, ...]
    width: int
    changes: tuple[tuple[Any, ...], ...] = ()


class Verdict(NamedTuple):
    """``code``: accept, drop, jump, goto, return, continue, queue; ``chain`` is where a jump goes."""

    code: str
    chain: str = ""


class Members(NamedTuple):
    """Values to compare with, each with its verdict, None where it has none.

    ``exact`` has whole values.  ``spans`` are (first, last, verdict), each a tuple with a value for each field; those
    of a single field are sorted and do not overlap.  ``rest`` is the verdict of every other value.
    """

    exact: Mapping[tuple[bytes, ...], Verdict | None]
    spans: tuple[tuple[tuple[bytes, ...], tuple[bytes, ...], Verdict | None], ...] = ()
    rest: Verdict | None = None

    def __hash__(self) -> int:
        return hash((frozenset(self.exact), self.spans, self.rest))

    def find(self, values: tuple[bytes, ...]) -> tuple[bool, Verdict | None]:
        """Whether the values are among these, and their verdict."""
        if values in self.exact:
            return True, self.exact[values]
        spans = self.spans
        if len(values) == 1 and spans:
            at = bisect_right(spans, values[0], key=lambda span: span[0][0]) - 1
            spans = spans[at : at + 1] if at >= 0 else ()
        for first, last, verdict in spans:
            if all(low <= value <= high for low, value, high in zip(first, values, last, strict=True)):
                return True, verdict
        return self.rest is not None, self.rest


class Match(NamedTuple):
    """The rule goes on only if the loaded values are among the members (``negated``: are not)."""

    loads: tuple[Load, ...]
    members: Members
    negated: bool = False
    name: str = ""  # of a named set


class Pick(NamedTuple):
    """The verdict of the element with the loaded values; without one the rule ends here (vmap)."""

    loads: tuple[Load, ...]
    members: Members
    name: str = ""


class Do(NamedTuple):
    """What a rule does: verdict, reject, dnat, snat, notrack, mark, ctmark, adds (the packet's fields to a set), never.

    No packet passes the step never.
    """

    what: str
    verdict: Verdict | None = None
    load: Load | None = None
    words: str = ""


class Doubt(NamedTuple):
    """A step that netrecon cannot judge: a match, or with ``verdict`` something that decides about the packet."""

    words: str
    verdict: bool = False


Step = Match | Pick | Do | Doubt


class Rule(NamedTuple):
    """The steps of one rule in their order.  ``number`` is its handle, or of iptables its place from 1."""

    steps: tuple[Step, ...]
    number: int = 0


class Chain(NamedTuple):
    """A chain; ``hook`` is "" for one that is only jumped to.

    ``maker`` is NFT, LEGACY, or for tables of iptables-nft IPTABLES; IPTABLES_NFT where `iptables` is the old one.
    """

    maker: str
    family: str  # ip, ip6, inet, arp, bridge or netdev
    table: str
    name: str
    rules: tuple[Rule, ...] = ()
    hook: str = ""
    kind: str = "filter"
    priority: int = 0
    policy: str = "accept"
    devices: tuple[str, ...] = ()
    ours: bool = False  # of a table of netrecon's: the administrator's chain in it
    locked: bool = False  # the table belongs to a running process, which alone can change it
    newer: bool | None = None  # its table is newer than netrecon's; None: not known

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What tells it from every other chain."""
        return (self.maker, self.family, self.table, self.name)


Chains = Mapping[tuple[str, str, str, str], Chain]
