"""``netrecon plan``: shows what apply would do."""

from __future__ import annotations

from reconciler.cli.exit_codes import CHANGES, OK
from reconciler.cli.parsing import Options, Parser, add_adopt, add_files, add_rehearse


def options(parser: Parser) -> None:
    add_files(parser)
    add_adopt(parser)
    add_rehearse(parser)


def run(options: Options) -> int:
    from reconciler.cli.showing import show_plan
    from reconciler.planning.intent import to_have
    from reconciler.run import host, load, pipeline

    intent = to_have(load.load(options.files), options.adopt)
    with host.kernel() as kernel:
        planned = pipeline.plan(kernel, intent)
    if options.rehearse and not planned.refusals:
        from reconciler.cli import as_text
        from reconciler.run import session

        as_text.note(session.rehearsed_first(intent))
    show_plan(options, planned, quiet=options.quiet)
    return OK if planned.in_sync else CHANGES
