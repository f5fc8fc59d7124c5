"""nftables: tables as the program writes them, changed in transactions."""

from __future__ import annotations

import errno
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from reconciler.model.names import ADMIN_CHAIN
from reconciler.model.rows import TableRow

Elements = dict[tuple[Any, ...], tuple[Any, ...]]
_SET = re.compile(r"(map|set) (\S+) \{ type ([^;]+);( flags interval;)?(?: elements = \{ (.*) \};)? \}")
_CHAIN = re.compile(r"chain (\S+) \{( comment \"(.*)\"; \})?")
_BASE = re.compile(r"type (\S+) hook (\S+) priority (\S+); policy (\S+);")


class NotPretended(Exception):
    """What nft knows and this does not."""


class Invalid(Exception):
    """What nft refuses."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number, self.text = number, text


@dataclass
class Table:
    """``sets`` and ``chains`` hold each one's form; ``stamp`` is the version and, by chain, the rules' digest."""

    sets: dict[str, str] = field(default_factory=dict)
    elements: dict[str, Elements] = field(default_factory=dict)
    chains: dict[str, str] = field(default_factory=dict)
    rules: dict[str, list[str]] = field(default_factory=dict)
    stamp: tuple[str, dict[str, str]] | None = None

    def copy(self) -> Table:
        elements = {name: dict(held) for name, held in self.elements.items()}
        rules = {name: list(held) for name, held in self.rules.items()}
        return Table(dict(self.sets), elements, dict(self.chains), rules, self.stamp)

    def row(self, name: str) -> TableRow:
        """As nft_tables reads it."""
        version, digests = self.stamp or ("missing", {})
        frame = {"table": "active", "stamp": version} | {f"set {one}": form for one, form in self.sets.items()}
        for one, form in self.chains.items():
            rules = self._form(one, digests)
            frame |= {f"chain {one}": form} | (
                {} if rules == "empty" and one not in digests else {f"rules {one}": rules}
            )
        return TableRow(name, frame, {one: dict(self.elements[one]) for one in self.sets})

    def _form(self, chain: str, digests: dict[str, str]) -> str:
        rules = self.rules[chain]
        count = f"{len(rules)} rule{'' if len(rules) == 1 else 's'}"
        if not rules:
            return "empty"
        if digests.get(chain) == digest(rules):
            return "as declared"
        return f"no stamp ({count})" if not digests else f"{'edited' if chain in digests else 'foreign'} ({count})"

    def sign(self) -> None:
        """What nft_tables does after a frame: leave the digests of all rules in the table."""
        found = {name: digest(rules) for name, rules in self.rules.items() if rules and name != ADMIN_CHAIN}
        self.stamp = ((self.stamp or ("", {}))[0], found)


def digest(rules: list[str]) -> str:
    return f"{zlib.crc32(repr(rules).encode()):x}"


# ------------------------------------------------------------------ elements


def element(form: str, text: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Key and value of ``tcp . 80 : 10.0.0.2 . 80`` by the set's form."""
    types = form.removesuffix(" interval").partition(" ")[2].split(" : ")
    parts = text.split(" : ")
    key = () if parts[0] == "*" else _typed(types[0], parts[0])
    return key, _typed(types[1], parts[1]) if len(types) > 1 and len(parts) > 1 else ()


def _typed(types: str, text: str) -> tuple[Any, ...]:
    pairs = zip(types.split(" . "), text.split(" . "), strict=True)
    return tuple(int(part) if kind == "inet_service" else part.strip().strip('"') for kind, part in pairs)


def _written(form: str, key: tuple[Any, ...], value: tuple[Any, ...]) -> str:
    types = form.removesuffix(" interval").partition(" ")[2].split(" : ")[0].split(" . ")
    parts = [f'"{part}"' if kind == "ifname" else str(part) for kind, part in zip(types, key, strict=False)]
    text = " . ".join(parts) or "*"
    return text + (f" : {' . '.join(map(str, value))}" if value else "")


def add_elements(table: Table, name: str, text: str) -> None:
    for one in text.split(", "):
        key, value = element(table.sets[name], one.strip())
        if table.elements[name].get(key, value) != value:
            raise Invalid(errno.EEXIST, "Could not process rule: File exists")
        table.elements[name][key] = value


def delete_elements(table: Table, name: str, text: str) -> None:
    for one in text.split(", "):
        key, _ = element(table.sets[name], one.strip())
        if key not in table.elements[name]:
            raise Invalid(errno.ENOENT, "Could not process rule: No such file or directory")
        del table.elements[name][key]


# ------------------------------------------------------------------ text


def run(tables: dict[tuple[str, str], Table], text: str) -> dict[tuple[str, str], Table]:
    """The tables after the commands, all or nothing; Invalid where nft refuses one."""
    after = {key: table.copy() for key, table in tables.items()}
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("table "):
            _, family, name, _ = line.split()
            _block(after.setdefault((family, name), Table()), lines)
        elif line.strip():
            _command(after, line.strip())
    return after


def _command(tables: dict[tuple[str, str], Table], line: str) -> None:
    if line == "flush ruleset":
        tables.clear()
        return
    verb, what, rest = line.split(" ", 2)
    family, name, *more = rest.split(" ", 3)
    key = (family, name)
    if (verb, what) == ("add", "table"):
        tables.setdefault(key, Table())
        return
    if key not in tables:
        raise Invalid(errno.ENOENT, "Could not process rule: No such file or directory")
    if (verb, what) == ("delete", "table"):
        del tables[key]
    else:
        _within(tables[key], verb, what, *more)


def _within(table: Table, verb: str, what: str, name: str, rest: str = "") -> None:
    if what == "element":
        (add_elements if verb == "add" else delete_elements)(table, name, rest.strip("{} "))
    elif (verb, what) == ("flush", "set"):
        table.elements[name] = {}
    elif (verb, what) == ("delete", "set"):
        del table.sets[name], table.elements[name]
    elif what == "chain" and name == "stamp":
        table.stamp = None if verb == "delete" else table.stamp
    elif (verb, what) == ("flush", "chain"):
        table.rules[name] = []
    elif (verb, what) == ("delete", "chain"):
        del table.chains[name], table.rules[name]
    elif (verb, what) == ("add", "chain"):
        table.chains.setdefault(name, _base(rest.strip("{} ")) if rest else "regular")
        table.rules.setdefault(name, [])
    elif (verb, what) == ("add", "rule"):
        table.rules[name].append(rest)
    else:
        raise NotPretended(f"nft {verb} {what}")


def _base(text: str) -> str:
    found = _BASE.search(text if "policy" in text else f"{text} policy accept;")
    return " ".join([found[1], found[2], found[3], "policy", found[4]]) if found else "regular"


def _block(table: Table, lines: Iterator[str]) -> None:
    """What stands between the braces of ``table inet NAME {``."""
    for line in lines:
        text = line.strip()
        if text == "}":
            return
        one, chain = _SET.fullmatch(text), _CHAIN.match(text)
        if one:
            _set(table, one[2], f"{one[1]} {one[3]}{' interval' if one[4] else ''}", one[5])
        elif chain and chain[1] == "stamp":
            version, *digests = (chain[3] or "").split()
            table.stamp = (version, dict(word.split(":", 1) for word in digests))
        elif chain:
            _chain(table, chain[1], lines)


def _set(table: Table, name: str, form: str, elements: str | None) -> None:
    if table.sets.setdefault(name, form) != form:
        raise Invalid(errno.EEXIST, "Could not process rule: File exists")
    table.elements.setdefault(name, {})
    if elements:
        add_elements(table, name, elements)


def _chain(table: Table, name: str, lines: Iterator[str]) -> None:
    table.rules.setdefault(name, [])
    form = "regular"
    for line in lines:
        text = line.strip()
        if text == "}":
            break
        if text.startswith("type "):
            form = _base(text)
        else:
            table.rules[name].append(text)
    if table.chains.setdefault(name, form).split(" policy")[0] != form.split(" policy")[0]:
        raise Invalid(errno.EEXIST, "Could not process rule: File exists")
    table.chains[name] = form


def listing(family: str, name: str, table: Table) -> str:
    """The table as text that ``run`` takes back."""
    lines = [f"table {family} {name} {{"]
    for one, form in table.sets.items():
        word, _, types = form.partition(" ")
        flags = " flags interval;" if types.endswith(" interval") else ""
        held = ", ".join(_written(form, key, value) for key, value in table.elements[one].items())
        lines.append(
            f"  {word} {one} {{ type {types.removesuffix(' interval')};{flags}"
            + (f" elements = {{ {held} }};" if held else "")
            + " }"
        )
    if table.stamp:
        words = " ".join([table.stamp[0], *(f"{chain}:{held}" for chain, held in table.stamp[1].items())])
        lines.append(f'  chain stamp {{ comment "{words}"; }}')
    for one, form in table.chains.items():
        base = form.split()
        head = f"    type {base[0]} hook {base[1]} priority {base[2]}; policy {base[4]};" if form != "regular" else ""
        lines += [f"  chain {one} {{", *([head] if head else []), *(f"    {rule}" for rule in table.rules[one]), "  }"]
    return "\n".join([*lines, "}"])
