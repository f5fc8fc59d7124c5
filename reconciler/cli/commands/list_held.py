"""``netrecon list``: lists the topologies that have objects in the kernel."""

from __future__ import annotations

import sys

from reconciler.cli.exit_codes import OK
from reconciler.cli.parsing import Options, Parser


def options(_parser: Parser) -> None:
    """No options of its own."""


def run(options: Options) -> int:
    from reconciler.cli import as_json, as_text
    from reconciler.run import host, survey
    from reconciler.safety.commit_confirmed import confirmation

    with host.kernel() as kernel:
        counts = survey.holdings(kernel)
    waiting = confirmation.pending()
    if options.json:
        listed = [{"name": name, "objects": kinds} for name, kinds in counts.items()]
        open_ = waiting and {"topologies": list(waiting.topologies), "seconds": round(waiting.seconds, 1)}
        as_json.write({"format": 1, "command": "list", "topologies": listed, "confirmation": open_})
        return OK
    if waiting:
        as_text.note(str(waiting))
    if counts:
        as_text.print_holdings(counts, options.color)
    elif not options.quiet:
        sys.stdout.write("The kernel holds no topology of netrecon's.\n")
    return OK
