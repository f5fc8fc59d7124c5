"""Shows a plan, or the end of a confirmation, as the options say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli.parsing import Options

if TYPE_CHECKING:
    from reconciler.planning.intent import Planned


def show_plan(options: Options, planned: Planned, quiet: bool) -> None:
    """Print the plan, with the reasons why apply would refuse it."""
    if not options.json and quiet:
        return
    from reconciler.cli import as_json
    from reconciler.cli.plans.printing import show

    if options.json:
        as_json.write(as_json.plan(options.command, planned))
    else:
        show(planned, options.color, options.verbose)


def show_settled(options: Options, state: str, result: object) -> None:
    """Write the JSON document of confirm and rollback."""
    from reconciler.cli import as_json

    as_json.write({"format": 1, "command": options.command, "state": state, "result": result})
