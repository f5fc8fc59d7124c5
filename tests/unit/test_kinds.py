"""No kind of object lacks its schema, its situations or a name of its own, and the core knows none by its name."""

from __future__ import annotations

import ast
import dataclasses
import pathlib

import pytest

from reconciler.kernel.netlink import reader
from reconciler.kinds import BY_NAME, KINDS, RANK, TABLES
from reconciler.language import schema
from reconciler.model.rows import ScopeState

ROOT = pathlib.Path(__file__).parents[2]
# Not in the language, so without a schema: the table and the reserved ports follow from what needs them, links and
# rules are only found and removed in a namespace of ours, neighbours only put back, tables of others only seen.
NOT_WRITTEN = {"nft_table", "reserved_ports", "link", "rule", "neighbour", "foreign_table"}


def situations(kind: str) -> set[str]:
    return {path.stem for path in (ROOT / "tests" / "cases" / "situations" / kind).glob("*.yaml")}


def test_names_are_unique() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) == len(BY_NAME) == len(RANK)
    assert {kind.transaction for kind in KINDS} == {"", "nft"}


def test_the_kinds_without_a_schema_are_those_that_nobody_writes() -> None:
    assert {kind.name for kind in KINDS if not kind.schema} == NOT_WRITTEN


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.schema], ids=lambda kind: kind.name)
def test_a_kind_in_the_language_has_its_schema(kind) -> None:
    assert (ROOT / "schemas" / f"{kind.schema}.json").is_file()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.data], ids=lambda kind: kind.name)
def test_every_attribute_of_a_table_is_in_the_language_and_a_secret_one_is_hidden_there_too(kind) -> None:
    written = schema.bundle()["$defs"][kind.schema]["$defs"][kind.name]["properties"]
    assert set(kind.data.words) <= set(written)
    assert {one.word for one in kind.data if one.secret} == {
        word for word, one in written.items() if one.get("writeOnly")
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_has_a_situation_in_which_there_is_nothing_to_do(kind) -> None:
    assert "already_present" in situations(kind.name)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name not in NOT_WRITTEN], ids=lambda kind: kind.name)
def test_a_kind_in_the_language_is_made_changed_and_deleted(kind) -> None:
    found = situations(kind.name)
    made = "configured" if kind.existing else "created"
    assert {made, "deleted"} <= found
    assert kind.name == "namespace" or any(name.endswith("_changed") for name in found)


def test_every_folder_of_situations_is_of_a_kind() -> None:
    folders = {path.name for path in (ROOT / "tests" / "cases" / "situations").iterdir()}
    assert folders == set(BY_NAME)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_can_be_made_can_be_unmade(kind) -> None:
    makes, deletes = (getattr(kind, word).__name__ != "_nothing" for word in ("create", "delete"))
    assert deletes or kind.existing
    assert makes or kind.existing or kind.name in NOT_WRITTEN


def test_what_is_read_is_what_some_kind_looks_at() -> None:
    assert TABLES.dumps == reader.DUMPS.keys() <= {field.name for field in dataclasses.fields(ScopeState)}


def test_a_kind_says_what_of_it_cuts_a_session() -> None:
    by_lookup = {kind.name for kind in KINDS if kind.holds or kind.leads}  # their addresses and routes are compared
    silent = {"nft_table", "link", "reserved_ports", "rule", "neighbour", "foreign_table", "dns_file"}
    assert {kind.name for kind in KINDS if kind.cuts is None} - by_lookup == silent


# ------------------------------------------------------------------------------------------------ who knows whose name

KINDS_FOLDER = ROOT / "reconciler" / "kinds"
SCOPE_KIND = "namespace"  # the scope: all other objects lie in one
# Words of others that happen to be names of kinds.
WORDS_OF_OTHERS = {
    "kernel/netlink/peers.py": "the kernel's words for links (IFLA_INFO_KIND)",
    "kernel/observe/foreign_rules.py": "families of nftables",
    "kernel/proc/ssh_session.py": "the kernel's words for links (IFLA_INFO_KIND)",
    "planning/doctor/advice.py": "families of nftables",
    "planning/doctor/walk.py": "families of nftables",
    "planning/doctor/flows.py": "the kernel's words for links (IFLA_INFO_KIND)",
    "run/trace.py": "families of nftables",
    "language/compose/service.py": "Docker's drivers and modes of networks",
    "language/compose/network.py": "Docker's drivers and modes of networks",
}
# What still asks for names; the list only ever gets shorter.
# The modules that use one kind's own words, not to tell it from others.
IMPORTS = {
    "planning/route_lookup.py": {"route.form"},  # the way to somebody is a route
    "planning/ways.py": {"route.form"},  # and so is the way to a prefix
    "safety/snapshot.py": {"sysctl"},  # what a link had is kept as settings
    "planning/doctor/forwarding.py": {"sysctl"},  # whether packets are forwarded is a setting
    "planning/doctor/routes.py": {"sysctl"},  # and so is the check of the reverse path
    "run/expected.py": {"links.link", "route.form"},  # what a change does to the rows of links and routes
    "run/way_out.py": {"route.form"},  # the way out is a route
    "run/rehearsal.py": {"links.other_link"},  # what stands in for somebody's link is a link of nobody's kind
    "language/networks/leases.py": {"links.bridge"},  # a network is a bridge
    "language/networks/publish.py": {"nat.port_map_syntax"},  # a published port is written as a port map
}
NAMED = frozenset(BY_NAME) - {SCOPE_KIND}


def knowing(source: str) -> list[str]:
    """The places of a module that know a kind by its name, each as its code."""
    found = [node for node in ast.walk(ast.parse(source)) if knows(node)]
    return [f"{node.lineno}: {ast.unparse(node)}" for node in found]


def knows(node: ast.AST) -> bool:
    match node:
        case ast.Compare(left=left, comparators=others):
            return any(map(mentions, (left, *others)))
        case ast.MatchValue(value=value):
            return mentions(value)
        case ast.Subscript(value=ast.Name(id="BY_NAME" | "RANK"), slice=name):
            return mentions(name)
        case ast.Subscript(slice=ast.Tuple() as place):
            return mentions(place)
        case ast.Call(func=ast.Name(id="Key"), args=[name, *_]):
            return mentions(name)
        case ast.Call(func=ast.Attribute(attr="_replace"), keywords=words):
            return any(word.arg == "kind" and mentions(word.value) for word in words)
        case ast.Call(func=ast.Attribute(attr="of"), args=names):
            return any(map(mentions, names))
        case ast.Call(func=ast.Attribute(attr="get", value=table), args=[name, *_]):
            return mentions(name) and (isinstance(name, ast.Tuple) or "BY_NAME" in ast.unparse(table))
        case ast.Assign(value=ast.Constant() as value) | ast.AnnAssign(value=ast.Constant() as value):
            return mentions(value)
        case ast.Tuple(elts=parts) | ast.Set(elts=parts) | ast.List(elts=parts):
            return bool(parts) and all(map(mentions, parts))
        case ast.Attribute(attr="name", value=ast.Attribute(attr="KIND")):
            return True
    return False


def mentions(node: ast.AST) -> bool:
    """Whether it is a kind's name, or a tuple, list or set with one in it."""
    match node:
        case ast.Constant(value=str(text)):
            return text in NAMED
        case ast.Tuple(elts=parts) | ast.Set(elts=parts) | ast.List(elts=parts):
            return any(map(mentions, parts))
    return False


def modules() -> dict[str, pathlib.Path]:
    package = ROOT / "reconciler"
    found = {str(path.relative_to(package)): path for path in package.rglob("*.py")}
    return {name: path for name, path in found.items() if not name.startswith("kinds/")}


@pytest.mark.parametrize("name", sorted(modules().keys() - WORDS_OF_OTHERS.keys()))
def test_the_core_asks_a_kind_for_facts_and_not_for_its_name(name: str) -> None:
    assert knowing(modules()[name].read_text()) == []


def kinds_imported(source: str) -> set[str]:
    """The modules of kinds/ that a module imports, but for those of no single kind and the scope's."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if f"{module}.".startswith("reconciler.kinds."):
                for name in names:
                    path = f"{module}.{name.name}".removeprefix("reconciler.kinds.")
                    inner = [path, path.rpartition(".")[0]]
                    found.update(
                        one for one in inner if one and (KINDS_FOLDER / f"{one.replace('.', '/')}.py").is_file()
                    )
    return found - {"kind", "context", "fields", "grounds", "course", SCOPE_KIND}


@pytest.mark.parametrize("name", sorted(modules().keys()))
def test_the_core_imports_no_kind_but_where_it_speaks_of_one(name: str) -> None:
    assert kinds_imported(modules()[name].read_text()) == IMPORTS.get(name, set())


@pytest.mark.parametrize("name", sorted({*WORDS_OF_OTHERS} & modules().keys()))
def test_no_exception_without_need(name: str) -> None:
    assert knowing(modules()[name].read_text())


@pytest.mark.parametrize(
    "code",
    [
        'key.kind == "veth"',
        '"port_map" != key.kind',
        'key.kind in ("namespace", "dns_file")',
        'key.kind not in {"link"}',
        'match kind:\n    case "bridge":\n        pass',
        'BY_NAME["sysctl"].form',
        'Key("route", scope, name)',
        'key._replace(kind="interface")',
        'names.of(scope, "address")',
        'names.by_scope.get((scope, "address"))',
        'names.by_scope[scope, "address"]',
        'BY_NAME.get("address")',
        '_SENDING = ("port_map", "masquerade")',
        '_PORT = "port_map"',
        "_PORT = port_map.KIND.name",
    ],
)
def test_what_counts_as_knowing_a_name(code: str) -> None:
    assert knowing(code)


@pytest.mark.parametrize(
    "code",
    ['key.kind == "namespace"', 'Key("namespace", HOST, x)', '(*path, "address")', 'entry.get("driver", "bridge")'],
)
def test_what_does_not_count_as_knowing_a_name(code: str) -> None:
    assert not knowing(code)
