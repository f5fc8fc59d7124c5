"""What the commands that change the kernel have in common: their options, and the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli.exit_codes import NOT_WHOLE, OK, ROLLED_BACK
from reconciler.cli.parsing import Options, Parser, add_rehearse, address, duration

if TYPE_CHECKING:
    from reconciler.planning.intent import Intent


def add_changing(parser: Parser) -> None:
    """Add the options of all commands that change the kernel."""
    add_rehearse(parser)
    text = "even delete a namespace in which processes run, and even cut your own SSH session"
    parser.add_argument("--force", action="store_true", help=text)
    text = "refuse changes that would cut the connection to ADDRESS; your SSH session is always protected"
    parser.add_argument("--protect", type=address, action="append", default=[], metavar="ADDRESS", help=text)
    group = parser.add_mutually_exclusive_group()
    text = "undo all changes unless netrecon confirm is run within TIME (60s, 5m)"
    group.add_argument("--confirm-within", type=duration, metavar="TIME", help=text)
    group.add_argument(
        "--keep-going", action="store_true", help="after a failure apply the other changes instead of undoing all"
    )


def carry_out(options: Options, intent: Intent) -> int:
    """Carry out the intent, print it, and give the exit code."""
    from reconciler.cli.audience import Audience
    from reconciler.run import session

    terms = session.Terms(
        lock_timeout=options.lock_timeout,
        rehearse=options.rehearse,
        protect=tuple(options.protect),
        confirm_within=options.confirm_within or 0.0,
        warn=options.json or not options.quiet or options.command == "apply",
        only_shut=options.quiet and not options.json,
        command=options.command,
    )
    result = session.run(intent, terms, Audience(options))
    if result.verified:
        return OK
    return ROLLED_BACK if result.rolled_back else NOT_WHOLE
