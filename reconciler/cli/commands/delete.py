"""``netrecon delete``: deletes what topologies own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli.changing import add_changing, carry_out
from reconciler.cli.exit_codes import CHANGES, OK
from reconciler.cli.parsing import Options, Parser, add_files
from reconciler.model.errors import NetreconError

if TYPE_CHECKING:
    from reconciler.planning.intent import Intent


def options(parser: Parser) -> None:
    add_files(parser, "*")
    parser.add_argument("--name", action="append", metavar="NAME", help="a topology by its name, without its file")
    parser.add_argument("--plan", action="store_true", help="only show what would be deleted (exit 2: something)")
    add_changing(parser)


def run(options: Options) -> int:
    intent = _intent(options)
    return _show(options, intent) if options.plan else carry_out(options, intent)


def _show(options: Options, intent: Intent) -> int:
    from reconciler.cli.showing import show_plan
    from reconciler.run import host, pipeline

    protect = None if intent.force or options.confirm_within else options.protect
    with host.kernel() as kernel:
        planned = pipeline.plan(kernel, intent, protect=protect)
    show_plan(options, planned, quiet=options.quiet)
    return OK if planned.in_sync else CHANGES


def _intent(options: Options) -> Intent:
    from reconciler.model import names
    from reconciler.planning.intent import to_be_gone, to_have
    from reconciler.run import load

    if bool(options.files) == bool(options.name):
        raise NetreconError("delete: give FILE or --name NAME, one of them")
    for name in options.name or ():
        if not names.is_topology(name):
            raise NetreconError(f"delete: --name {name!r} is not a topology name; {names.TOPOLOGY_RULE}")
    declared = to_have(load.load(options.files) if options.files else ())
    names_given = options.name or declared.names
    return to_be_gone(names_given, options.force, options.keep_going, declared.relaxed, named=bool(options.name))
