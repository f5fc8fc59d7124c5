"""``netrecon check``: as plan, for cron: silent when in sync."""

from __future__ import annotations

from reconciler.cli.exit_codes import CHANGES, OK
from reconciler.cli.parsing import Options, Parser, add_files


def options(parser: Parser) -> None:
    add_files(parser)


def run(options: Options) -> int:
    from reconciler.planning.intent import to_have
    from reconciler.run import host, load, pipeline

    intent = to_have(load.load(options.files))
    with host.kernel() as kernel:
        planned = pipeline.plan(kernel, intent, warn=options.verbose or options.json)
    if planned.in_sync and not (options.verbose or options.json):
        return OK
    from reconciler.cli.showing import show_plan

    show_plan(options, planned, quiet=options.quiet)
    return OK if planned.in_sync else CHANGES
