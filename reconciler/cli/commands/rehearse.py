"""``netrecon rehearse``: applies the files in an empty throwaway network."""

from __future__ import annotations

import sys

from reconciler.cli.exit_codes import OK
from reconciler.cli.parsing import Options, Parser, add_files


def options(parser: Parser) -> None:
    add_files(parser)


def run(options: Options) -> int:
    from reconciler.cli import as_json
    from reconciler.planning.intent import to_have
    from reconciler.run import host, load, look, rehearsal

    intent = to_have(load.load(options.files))
    if load.joined(intent.topologies) - intent.names:  # networks of other topologies are as the host has them
        with host.kernel() as kernel:
            intent = look.settled(kernel, intent)
    done = rehearsal.rehearse(intent, rehearsal.stand_ins(intent))
    if options.json:
        listed = {"topologies": sorted(intent.names), "applied": done.applied, "problems": []}
        as_json.write({"format": 1, "command": "rehearse", **listed})
    elif not options.quiet:
        sys.stdout.write(f"{', '.join(sorted(intent.names))}: {done}\n")
    return OK
