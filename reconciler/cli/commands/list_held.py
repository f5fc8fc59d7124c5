"""``netrecon list``: lists the topologies that have objects in the kernel."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from reconciler.cli.exit_codes import OK
from reconciler.cli.parsing import Options, Parser
from reconciler.model.keys import Key

if TYPE_CHECKING:
    from reconciler.run.holdings import Holdings


def options(_parser: Parser) -> None:
    """No options of its own."""


def run(options: Options) -> int:
    from reconciler.cli import as_json, as_text
    from reconciler.run import holdings, host
    from reconciler.safety.commit_confirmed import confirmation

    with host.kernel() as kernel:
        seen = holdings.holdings(kernel)
    waiting = confirmation.pending()
    if options.json:
        listed = [{"name": name, "objects": _kinds(seen.of(name))} for name in seen.names]
        open_ = waiting and {"topologies": list(waiting.topologies), "seconds": round(waiting.seconds, 1)}
        as_json.write({"format": 1, "command": "list", "topologies": listed, "confirmation": open_})
        return OK
    if waiting:
        as_text.note(str(waiting))
    if seen.names:
        _print(seen, options.verbose)
    elif not options.quiet:
        sys.stdout.write("The kernel holds no topology of netrecon's.\n")
    return OK


def _print(seen: Holdings, by_scope: bool) -> None:
    """A line for each topology, or for each scope of each topology."""
    from reconciler.cli import table

    rows: list[Sequence[object]] = []
    for name in seen.names:
        keys = seen.of(name)
        scopes = {scope: [key for key in keys if key.home == scope] for scope in sorted({key.home for key in keys})}
        parts = [([name, scope], own) for scope, own in scopes.items()] if by_scope else [([name], keys)]
        rows += [[*head, len(own), [f"{number} {kind}" for kind, number in _kinds(own).items()]] for head, own in parts]
    table.write(["topology", *(["scope"] if by_scope else []), "objects", "kinds"], rows)


def _kinds(keys: Iterable[Key]) -> dict[str, int]:
    """The number of objects of each kind."""
    counts: dict[str, int] = {}
    for key in keys:
        counts[key.kind] = counts.get(key.kind, 0) + 1
    return dict(sorted(counts.items()))
