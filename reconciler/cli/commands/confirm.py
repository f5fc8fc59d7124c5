"""``netrecon confirm``: keeps what ``apply --confirm-within`` has applied."""

from __future__ import annotations

import sys

from reconciler.cli.exit_codes import OK
from reconciler.cli.parsing import Options, Parser
from reconciler.cli.showing import show_settled


def options(_parser: Parser) -> None:
    """No options of its own."""


def run(options: Options) -> int:
    from reconciler.run import host
    from reconciler.safety import journal, lock
    from reconciler.safety.commit_confirmed import committing

    host.need_root()  # before the lock: its file is root's too
    with (
        journal.refusals("confirm", committing.awaited_topologies()),
        lock.held(options.lock_timeout),
        host.kernel() as kernel,
    ):
        kept = committing.confirm(kernel)
    if options.json:
        show_settled(options, "confirmed", list(kept.topologies))
    elif not options.quiet:
        sys.stdout.write(f"{', '.join(kept.topologies)}: confirmed, and stays as it is.\n")
    return OK
