"""``netrecon validate``: checks files without looking at the kernel."""

from __future__ import annotations

import sys

from reconciler.cli.exit_codes import OK
from reconciler.cli.parsing import Options, Parser, add_files


def options(parser: Parser) -> None:
    add_files(parser)


def run(options: Options) -> int:
    from reconciler.run import load

    topologies = load.load(options.files, on_host=False)
    if options.json:
        from reconciler.cli import as_json

        names = [topology.name for topology in topologies]
        as_json.write({"format": 1, "command": "validate", "topologies": names, "errors": []})
    elif not options.quiet:
        for topology in topologies:
            sys.stdout.write(f"{topology.name}: valid, {len(topology.objects)} objects\n")
    return OK
