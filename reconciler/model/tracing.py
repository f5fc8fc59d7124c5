"""What nftables says of packets that it traces, as plain data."""

from __future__ import annotations

from reconciler.model.data import NamedTuple


class Sent(NamedTuple):
    """A packet's addresses and ports as nftables has seen it."""

    source: str
    to: str
    protocol: int
    source_port: int
    port: int


class Traced(NamedTuple):
    """One line of a trace: what a rule, or at the end of a base chain its policy, decided about a packet.

    ``packet`` tells the packets of one scope apart.  ``sent`` is in the first line of each base chain.  ``what`` is
    rule, policy, return, or end where the chain ends without a decision; ``verdict`` is a verdict's code, and its
    chain after a jump.
    """

    scope: str
    packet: int
    family: str
    table: str
    chain: str
    what: str
    verdict: str
    handle: int = 0
    sent: Sent | None = None

    @property
    def by_rule(self) -> bool:
        """Whether a rule decided, and not the chain's policy."""
        return bool(self.handle)
