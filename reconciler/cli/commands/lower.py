"""``netrecon lower``: prints the files in the words of level one."""

from __future__ import annotations

import os

from reconciler.cli.exit_codes import OK
from reconciler.cli.parsing import Options, Parser, add_files


def options(parser: Parser) -> None:
    add_files(parser)


def run(options: Options) -> int:
    from reconciler.cli import as_json, yaml_writer
    from reconciler.run import host, pipeline

    if os.geteuid() == 0:
        with host.kernel() as kernel:
            lowered = pipeline.lower(options.files, kernel)
    else:
        lowered = pipeline.lower(options.files, None)
    listed = [document.data for document in lowered]
    if options.json:
        as_json.write({"format": 1, "command": "lower", "topologies": listed})
    else:
        yaml_writer.print_topologies(listed)
    return OK
