"""``netrecon rollback``: undoes an apply that waits for confirmation, or that was killed."""

from __future__ import annotations

import argparse

from reconciler.cli.exit_codes import NOT_WHOLE, OK
from reconciler.cli.parsing import Options, Parser
from reconciler.cli.showing import show_settled


def options(parser: Parser) -> None:
    parser.add_argument("--when-due", metavar="ID", help=argparse.SUPPRESS)  # the watchdog starts this


def run(options: Options) -> int:
    from reconciler.cli import as_json, results
    from reconciler.run import host
    from reconciler.safety import journal, lock
    from reconciler.safety.commit_confirmed import committing

    if options.when_due:
        committing.watch(options.when_due, host.kernel)
        return OK
    host.need_root()  # before the lock: its file is root's too
    with (
        journal.refusals("rollback", committing.awaited_topologies()),
        lock.held(options.lock_timeout),
        host.kernel() as kernel,
    ):
        undone, left = committing.go_back(kernel)
    if options.json:
        show_settled(options, "not whole" if left else "rolled back", as_json.undone(undone, left))
    else:
        results.print_undone(undone, left, options.color, options.quiet)
    return NOT_WHOLE if left else OK
