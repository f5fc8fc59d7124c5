"""Reads the rules of all firewalls but ours: of nftables, iptables-nft and iptables-legacy."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from typing import Any

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import transport
from reconciler.kernel.nftables import nft_decode as nft
from reconciler.kernel.nftables import nft_tables, rule_steps
from reconciler.kernel.observe import legacy_rules
from reconciler.kernel.observe.nat_order import NatOrder
from reconciler.model.errors import Failure, KernelError
from reconciler.model.firewall import IPTABLES, IPTABLES_NFT, NFT, Chain, Doubt, Rule
from reconciler.model.names import ADMIN_CHAIN, table_owner

_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_*
_IP_HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
_HOOKS = {"arp": ("input", "output", "forward"), "netdev": ("ingress", "egress")}
_POLICIES = ("drop", "accept")
_DORMANT, _OWNED = 0x1, 0x2  # NFT_TABLE_F_*
_CHAIN_USE = 6  # NFTA_CHAIN_USE: the rules in it and the jumps to it
_RULE_HANDLE = 3
_SET_KEY_LENGTH = 5
# The tables and base chains that iptables-nft, ip6tables-nft, ebtables-nft and arptables-nft make
_TABLES = {"filter", "nat", "mangle", "raw", "security", "broute"}
_CHAINS = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING", "BROUTING"}

_Found = list[tuple[bytes, nft.Attributes]]


def chains(kernel: Kernel, scope: str) -> tuple[Chain, ...]:
    """The chains of one scope that are not ours, with their rules; also the administrator's chain of our tables.

    Those of iptables-legacy come after the others.  Raises KernelError where the namespace is missing, or where
    rules cannot be read.
    """
    return (*_of_nftables(kernel, scope), *kernel.run(scope, legacy_rules.chains))


def _of_nftables(kernel: Kernel, scope: str) -> list[Chain]:
    try:
        sock = kernel.socket(scope, transport.NETFILTER)
    except OSError:  # the kernel has no nf_tables
        return []
    for _ in range(transport.RETRIES):
        try:
            return list(_of_one_generation(sock))
        except nft_tables.Changed:  # on a host with containers the rules change often
            continue
        except KernelError as error:
            if error.failure.errno != errno.ENOENT:  # ENOENT: a table was deleted between two dumps
                raise
    raise KernelError("read", Failure(errno.EAGAIN, "the nftables ruleset keeps changing while it is read"))


def _of_one_generation(sock: Any) -> Iterator[Chain]:
    ruleset = nft_tables.Ruleset(sock, family=0)
    try:
        found = ruleset.of_any_family(nft_tables.GETTABLE)
    except KernelError:  # the kernel has no nf_tables
        return
    tables = {(body[0], nft.text(row[nft.TABLE_NAME])): row for body, row in found}
    by_table: dict[tuple[int, str], list[nft.Attributes]] = {}
    for body, row in ruleset.of_any_family(nft_tables.GETCHAIN):
        by_table.setdefault((body[0], nft.text(row[nft.CHAIN_TABLE])), []).append(row)
    order = NatOrder(tables, by_table)
    for (number, table), rows in by_table.items():
        family = _FAMILIES.get(number, "")
        ours = family == "inet" and bool(table_owner(table))
        wanted = [row for row in rows if not ours or _has_admin_rules(row)]
        flags = nft.number(tables[number, table], nft.TABLE_FLAGS)
        if family and wanted and not flags & _DORMANT:
            chains = _of_table(_Table(sock, number, table, ruleset), wanted, ours, bool(flags & _OWNED))
            yield from (chain._replace(newer=order.is_newer((number, table))) for chain in chains)


def _has_admin_rules(row: nft.Attributes) -> bool:
    name = nft.text(row[nft.CHAIN_NAME])
    return (name == ADMIN_CHAIN and nft.number(row, _CHAIN_USE) > 1) or name.startswith(f"{ADMIN_CHAIN}-")


class _Table:
    """One table whose rules, sets and elements are dumped in the generation of ``ruleset``."""

    def __init__(self, sock: Any, family: int, name: str, ruleset: nft_tables.Ruleset) -> None:
        self.family = _FAMILIES[family]
        self.name = name
        self._ruleset = ruleset.of(family)

    def rules(self) -> dict[str, list[Rule]]:
        """The rules by chain."""
        by_chain: dict[str, list[Rule]] = {}
        rows = self._ruleset.rows(nft_tables.GETRULE, (nft.RULE_TABLE, self.name))
        sets = self._sets() if rows else rule_steps.Sets({}, lambda _: [])
        for row in rows:
            by_chain.setdefault(nft.text(row[nft.RULE_CHAIN]), []).append(self._rule(row, sets))
        return by_chain

    def _rule(self, row: nft.Attributes, sets: rule_steps.Sets) -> Rule:
        handle = int.from_bytes(row.get(_RULE_HANDLE, b""), "big")
        try:
            return Rule(rule_steps.steps(row.get(nft.RULE_EXPRESSIONS, b""), self.family, sets), handle)
        except (KernelError, KeyError, ValueError, IndexError, struct.error):
            return Rule((Doubt("a rule that netrecon cannot read", verdict=True),), handle)

    def _sets(self) -> rule_steps.Sets:
        rows = self._ruleset.rows(nft_tables.GETSET, (nft.SET_TABLE, self.name))
        lengths = {
            nft.text(row[nft.SET_NAME]): (
                nft.number(row, _SET_KEY_LENGTH),
                bool(nft.number(row, nft.SET_FLAGS) & nft.INTERVAL),
            )
            for row in rows
        }
        return rule_steps.Sets(lengths, self._elements)

    def _elements(self, name: str) -> list[nft.Attributes]:
        bodies = self._ruleset.dump(nft_tables.GETSETELEM, (1, self.name), (2, name))
        lists = (value for body in bodies for kind, value in nft.attributes(body, 4) if kind == 3)
        return [dict(nft.attributes(element)) for data in lists for _, element in nft.attributes(data)]


def _of_table(table: _Table, rows: list[nft.Attributes], ours: bool, locked: bool) -> Iterator[Chain]:
    rules = table.rules()
    names = {nft.text(row[nft.CHAIN_NAME]) for row in rows if nft.CHAIN_HOOK in row}
    by_iptables = table.family in ("ip", "ip6", "arp", "bridge") and table.name in _TABLES and names <= _CHAINS
    maker = (IPTABLES_NFT if _is_old() else IPTABLES) if by_iptables and names else NFT
    for row in rows:
        name = nft.text(row[nft.CHAIN_NAME])
        chain = Chain(maker, table.family, table.name, name, tuple(rules.get(name, ())), ours=ours, locked=locked)
        if ours and name == ADMIN_CHAIN:
            yield chain._replace(hook="forward")
        else:
            yield _based(chain, row)


def _is_old() -> bool:
    """Whether the command iptables is that of iptables-legacy."""
    commands = (f"{folder}/iptables" for folder in os.get_exec_path())  # importing shutil takes longer than that
    return "legacy" in os.path.realpath(next(filter(os.path.exists, commands), ""))


def _based(chain: Chain, row: nft.Attributes) -> Chain:
    """The chain with its hook, where it has one."""
    if nft.CHAIN_HOOK not in row:
        return chain
    at = dict(nft.attributes(row[nft.CHAIN_HOOK]))
    hooks, number = _HOOKS.get(chain.family, _IP_HOOKS), nft.number(at, 1)
    policy = nft.number(row, nft.CHAIN_POLICY) if nft.CHAIN_POLICY in row else 1
    return chain._replace(
        hook=hooks[number] if number < len(hooks) else str(number),
        kind=nft.text(row.get(nft.CHAIN_TYPE, b"filter")),
        priority=struct.unpack(">i", at[2])[0],
        policy=_POLICIES[policy] if policy < len(_POLICIES) else "accept",
        devices=tuple(_devices(row[nft.CHAIN_HOOK])),
    )


def _devices(hook: bytes) -> Iterator[str]:
    for kind, value in nft.attributes(hook):
        if kind == 3:
            yield nft.text(value)
        elif kind == 4:
            yield from (nft.text(name) for _, name in nft.attributes(value))
