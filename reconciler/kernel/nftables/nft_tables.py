"""Reads our nftables tables by raw nfnetlink, and writes them by libnftables in atomic transactions."""

from __future__ import annotations

import errno
import os
import re
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from reconciler.kernel.netlink import transport
from reconciler.kernel.netlink.decode import malformed
from reconciler.kernel.nftables import nft_decode as nft
from reconciler.kernel.nftables import nft_elements
from reconciler.kernel.nftables.nft_decode import Attributes
from reconciler.model.errors import Failure, KernelError, MissingDependency
from reconciler.model.names import ADMIN_CHAIN, STAMP_CHAIN, table_owner
from reconciler.model.requests import NftElement, NftFrame
from reconciler.model.rows import TableRow

_INET = 1  # NFPROTO_INET
_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
GETTABLE, GETCHAIN, GETRULE, GETSET, GETSETELEM = (_SUBSYSTEM | kind for kind in (1, 4, 7, 10, 13))
_GENERATION = struct.Struct(">2xH")  # nfgenmsg.res_id: the low half of the ruleset's generation
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_* (linux/netfilter.h)
_NO_NFTABLES = {errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT, errno.EAFNOSUPPORT}


_T = TypeVar("_T")


class Visits(Protocol):
    """The part of worker.Kernel that is used here."""

    def run(self, scope: str, function: Any, *args: Any) -> Any: ...
    def socket(self, scope: str, protocol: int = ...) -> Any: ...


# ------------------------------------------------------------------ reading


class Changed(Exception):
    """The ruleset changed between two dumps."""


class Ruleset:
    """Dumps of one namespace's ruleset, all of one generation; ``family`` is NFPROTO_*, 0 for all families.

    Raises Changed when the ruleset changes between them, and KernelError.
    """

    def __init__(self, sock: Any, family: int = _INET) -> None:
        self._sock = sock
        self._family = family
        self._generations: set[int] = set()

    def dump(self, kind: int, *wanted: tuple[int, str]) -> list[bytes]:
        header = struct.pack(">BBH", self._family, 0, 0)
        names = b"".join(transport.attribute(number, name.encode() + b"\0") for number, name in wanted)
        bodies = [body for _, body in transport.dump(self._sock, kind, header + names)]
        self._generations.update(_GENERATION.unpack_from(body)[0] for body in bodies)
        if len(self._generations) > 1:
            raise Changed
        return bodies

    def of(self, family: int) -> Ruleset:
        """The ruleset of one family, in the same generation."""
        part = Ruleset(self._sock, family)
        part._generations = self._generations
        return part

    def rows(self, kind: int, *wanted: tuple[int, str]) -> list[Attributes]:
        return [dict(nft.attributes(body, 4)) for body in self.dump(kind, *wanted)]

    def of_any_family(self, kind: int) -> list[tuple[bytes, Attributes]]:
        """(body, attributes) of each message; the first byte of the body is the family (NFPROTO_*)."""
        return [(body, dict(nft.attributes(body, 4))) for body in self.dump(kind)]


def read_tables(kernel: Visits, scope: str) -> dict[str, TableRow]:
    """Our tables in one namespace, by name; {} where there are none or the kernel has no nf_tables.

    All dumps are of one generation of the ruleset.  Raises KernelError.
    """
    return _of_one_generation(kernel, scope, lambda sock: _read_tables(Ruleset(sock))) or {}


def read_foreign(kernel: Visits, scope: str) -> list[tuple[str, str]]:
    """(family, name) of each table in one namespace that bears no topology's name.  Raises KernelError."""
    return _of_one_generation(kernel, scope, lambda sock: _read_foreign(Ruleset(sock, family=0))) or []


def _of_one_generation(kernel: Visits, scope: str, read: Callable[[Any], _T]) -> _T | None:
    """What ``read`` gives, None where the kernel has no nf_tables."""
    try:
        sock = kernel.socket(scope, transport.NETFILTER)
    except OSError as error:
        if error.errno in _NO_NFTABLES:
            return None
        raise
    for _ in range(transport.RETRIES):
        try:
            return read(sock)
        except Changed:
            continue
        except KernelError as error:
            if error.failure.errno != errno.ENOENT:  # ENOENT: a table was deleted between two dumps
                raise
        except (KeyError, ValueError, struct.error):  # an attribute is missing or cut off
            raise malformed("nf_tables message") from None
    raise KernelError("read", Failure(errno.EAGAIN, "the nftables ruleset keeps changing while it is read"))


def _read_tables(ruleset: Ruleset) -> dict[str, TableRow]:
    try:
        rows = ruleset.rows(GETTABLE)
    except KernelError as error:
        if error.failure.errno in _NO_NFTABLES:
            return {}
        raise
    tables = {nft.text(row[nft.TABLE_NAME]): row for row in rows}
    ours = {name: row for name, row in tables.items() if table_owner(name)}
    if not ours:
        return {}
    chains = _by_table(ruleset.rows(GETCHAIN), nft.CHAIN_TABLE)
    return {name: _read_table(ruleset, name, row, chains[name]) for name, row in ours.items()}


def _read_foreign(ruleset: Ruleset) -> list[tuple[str, str]]:
    try:
        rows = ruleset.of_any_family(GETTABLE)
    except KernelError as error:
        if error.failure.errno in _NO_NFTABLES:
            return []
        raise
    named = [(_FAMILIES.get(body[0], str(body[0])), nft.text(row[nft.TABLE_NAME])) for body, row in rows]
    return [(family, name) for family, name in named if not (family == "inet" and table_owner(name))]


def _by_table(rows: Iterable[Attributes], kind: int) -> dict[str, list[Attributes]]:
    by_table: dict[str, list[Attributes]] = defaultdict(list)
    for row in rows:
        by_table[nft.text(row[kind])].append(row)
    return by_table


def _read_table(ruleset: Ruleset, name: str, table: Attributes, chains: list[Attributes]) -> TableRow:
    rules = _by_table(ruleset.rows(GETRULE, (nft.RULE_TABLE, name)), nft.RULE_TABLE)[name]
    sets = _by_table(ruleset.rows(GETSET, (nft.SET_TABLE, name)), nft.SET_TABLE)[name]
    named = {nft.text(row[nft.SET_NAME]): row for row in sets if not nft.anonymous(row)}
    frame = {"table": nft.table_form(table)} | _chain_forms(chains, rules)
    frame |= {f"set {key}": nft.set_form(row) for key, row in named.items()}
    elements = {key: _read_elements(ruleset, name, key, row) for key, row in named.items()}
    return TableRow(name, frame, elements)


def _read_elements(ruleset: Ruleset, table: str, name: str, row: Attributes) -> nft_elements.Elements:
    form = nft_elements.layout(row)
    if form is None:
        return {}
    return nft_elements.decode(ruleset.dump(GETSETELEM, (1, table), (2, name)), form)


def _chain_forms(chains: list[Attributes], rules: list[Attributes]) -> dict[str, str]:
    by_chain = _rules_by_chain(rules)
    frame, stamped = {"stamp": "missing"}, {}
    for row in chains:
        name = nft.text(row[nft.CHAIN_NAME])
        form = nft.chain_form(row)
        if name == STAMP_CHAIN and form == "regular":
            version, _, digests = nft.comment(row.get(nft.CHAIN_USERDATA, b"")).partition(" ")
            frame["stamp"] = version or "unreadable"
            stamped = dict(word.split(":", 1) for word in digests.split() if ":" in word)
        else:
            frame[f"chain {name}"] = form
            frame[f"rules {name}"] = "empty"
    for name, chain_rules in by_chain.items():
        frame[f"rules {name}"] = _rules_form(chain_rules, stamped.get(name, "no stamp" if not stamped else ""))
    return {part: form for part, form in frame.items() if not (form == "empty" and part[6:] not in stamped)}


def _rules_by_chain(rules: list[Attributes]) -> dict[str, list[Attributes]]:
    by_chain: dict[str, list[Attributes]] = defaultdict(list)
    for row in rules:
        by_chain[nft.text(row[nft.RULE_CHAIN])].append(row)
    return by_chain


def _rules_form(rules: list[Attributes], stamp: str) -> str:
    if stamp == nft.rules_digest(rules):
        return "as declared"
    count = f"{len(rules)} rule" + ("s" if len(rules) != 1 else "")
    if not stamp:
        return f"foreign ({count})"
    return f"{stamp} ({count})" if stamp == "no stamp" else f"edited ({count})"


# ------------------------------------------------------------------ writing


def transact(kernel: Visits, scope: str, requests: Iterable[NftFrame | NftElement]) -> Failure | None:
    """Carry out all requests of one scope as one atomic transaction; None when it is done.

    Element deletions come first, then the frames, then the additions.  The rules of the frames are then read back,
    and their digests are stored in the table.  Raises MissingDependency where libnftables or its binding is missing.
    """
    requests = list(requests)
    frames = [request for request in requests if isinstance(request, NftFrame)]
    text = commands(requests)
    if not text:
        return None
    failure = _execute(kernel, scope, text)
    tables = [frame.table for frame in frames if frame.stamp]
    if failure is not None or not tables:
        return failure
    try:
        return _execute(kernel, scope, _stamp_text(kernel, scope, tables))
    except KernelError as error:
        return error.failure


def commands(requests: Iterable[NftFrame | NftElement]) -> str:
    """The text of the transaction: for each set one command that deletes elements and one that adds elements."""
    requests = list(requests)
    frames = [request for request in requests if isinstance(request, NftFrame)]
    doomed = {frame.table for frame in frames if not frame.stamp}  # tables to delete, with all their elements
    merged: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for request in requests:
        if isinstance(request, NftElement) and not (request.action == "delete" and request.table in doomed):
            merged[request.action, request.table, request.set].append(request.text)
    lines: dict[str, list[str]] = {"delete": [], "add": []}
    for (action, table, name), texts in merged.items():
        lines[action].append(f"{action} element inet {table} {name} {{ {', '.join(texts)} }}")
    return "\n".join([*lines["delete"], *(frame.text for frame in frames), *lines["add"]])


def listing(kernel: Visits, scope: str, table: str) -> str:
    """The output of ``nft list table``, which nft can load again; "" where it fails."""
    code, output = kernel.run(scope, _run_libnftables, f"list table inet {table}", True)
    return output if code == 0 else ""


def _stamp_text(kernel: Visits, scope: str, tables: list[str]) -> str:
    ruleset = Ruleset(kernel.socket(scope, transport.NETFILTER))
    chains = _by_table(ruleset.rows(GETCHAIN), nft.CHAIN_TABLE)
    lines: list[str] = []
    for table in tables:
        version = next(
            nft.comment(row.get(nft.CHAIN_USERDATA, b"")).partition(" ")[0]
            for row in chains[table]
            if nft.text(row[nft.CHAIN_NAME]) == STAMP_CHAIN
        )
        rules = _rules_by_chain(ruleset.rows(GETRULE, (nft.RULE_TABLE, table)))
        rules.pop(ADMIN_CHAIN, None)
        digests = (f"{name}:{nft.rules_digest(chain_rules)}" for name, chain_rules in sorted(rules.items()))
        words = " ".join([version, *digests])
        lines.append(f"delete chain inet {table} {STAMP_CHAIN}")
        lines.append(f'add chain inet {table} {STAMP_CHAIN} {{ comment "{words}"; }}')
    return "\n".join(lines)


def _execute(kernel: Visits, scope: str, text: str) -> Failure | None:
    code, output = kernel.run(scope, _run_libnftables, text)
    return None if code == 0 else failure_of(output)


def _run_libnftables(text: str, answer: bool = False) -> tuple[int, str]:
    """The exit code, and the error text or (``answer``) the output.

    The context is made and freed here, because it belongs to the namespace and thread in which it was made.
    """
    code, output, error = library().Nftables().cmd(text)
    return code, output if answer else error


def library() -> Any:
    """The Python binding of libnftables; MissingDependency where it or the library is missing, or the library too old.

    Releases before 1.0 crash on maps with concatenated values; they lack the function nft_ctx_add_var.
    """
    try:
        import ctypes

        import nftables
    except ImportError:
        raise MissingDependency("the Python module nftables is missing: pip install pip-nftables") from None
    try:
        loaded = ctypes.CDLL("libnftables.so.1")
    except OSError:
        raise MissingDependency("libnftables.so.1 is missing: apt install libnftables1") from None
    if not hasattr(loaded, "nft_ctx_add_var"):
        raise MissingDependency(
            "this libnftables is older than 1.0 and crashes on netrecon's maps: install 1.0 or newer"
        )
    return nftables


def failure_of(output: str) -> Failure:
    """libnftables' error text as one line, with the errno whose text it contains (EINVAL where it contains none)."""
    lines = [line for line in output.splitlines() if "Error:" in line] or output.split("\n", 1)
    words = (lines[0].partition("Error:")[2] or lines[0]).strip() or "nftables failed"
    parts = {part.strip() for part in re.split(r"[:;] ", words)}
    number = next((code for code in errno.errorcode if os.strerror(code) in parts), errno.EINVAL)
    return Failure(number, words)
