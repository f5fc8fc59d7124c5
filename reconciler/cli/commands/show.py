"""``netrecon show``: shows what the kernel holds of the topologies, or of one topology or namespace."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING, Any

from reconciler.cli.exit_codes import OK
from reconciler.cli.parsing import Options, Parser
from reconciler.model.errors import NetreconError

if TYPE_CHECKING:
    from reconciler.planning.overview import Row, Table
    from reconciler.run.holdings import Holdings


def options(parser: Parser) -> None:
    text = "a topology, or a namespace: only what concerns it"
    parser.add_argument("name", nargs="?", metavar="NAME|NAMESPACE", help=text)


def run(options: Options) -> int:
    from reconciler.planning.overview import Overview
    from reconciler.run import holdings, host

    with host.kernel() as kernel:
        seen = holdings.holdings(kernel)
    tables = list(Overview(seen.rows, seen.objects, seen.held).tables())
    if options.name is not None:
        tables = [*_about(options.name, tables)]
        if not tables and options.name not in seen.names:
            raise NetreconError(_unknown(options.name, seen))
    if options.json:
        _write_json(tables)
    else:
        _print(tables)
    return OK


def _about(name: str, tables: list[Table]) -> list[Table]:
    """The rows of a topology, or else those that concern a namespace."""
    of_topology = any(row.topology == name for table in tables for row in table.rows)

    def fits(row: Row) -> bool:
        return row.topology == name if of_topology else name in row.scopes

    kept = [table._replace(rows=[row for row in table.rows if fits(row)]) for table in tables]
    return [table for table in kept if table.rows]


def _unknown(name: str, seen: Holdings) -> str:
    from difflib import get_close_matches

    names = sorted({*seen.names, *seen.rows.scopes})
    near = get_close_matches(name, names, 1)
    ending = f"did you mean {near[0]}?" if near else "netrecon list names the topologies"
    return f"show: no topology and no namespace of one is called {name!r}; {ending}"


def _print(tables: list[Table]) -> None:
    from reconciler.cli import table

    if not tables:
        sys.stdout.write("The kernel holds no topology of netrecon's.\n")
    for number, (columns, alike) in enumerate(groupby(tables, lambda one: tuple(one.rows[0].values))):
        if number:
            sys.stdout.write("\n")
        rows = [(one.name, row.topology, *row.values.values()) for one in alike for row in one.rows]
        table.write(("what", "topology", *columns), rows)


def _write_json(tables: list[Table]) -> None:
    from reconciler.cli import as_json

    listed: dict[str, Any] = {
        one.name: [{"topology": row.topology, **row.values} for row in one.rows] for one in tables
    }
    as_json.write({"format": 1, "command": "show", "tables": listed})
