"""``netrecon import compose``: converts a Docker Compose file to a topology and prints it."""

from __future__ import annotations

from reconciler.cli.exit_codes import OK
from reconciler.cli.parsing import Options, Parser


def options(parser: Parser) -> None:
    parser.add_argument("format", choices=("compose",), help="compose: a Docker Compose file")
    parser.add_argument("file", metavar="FILE|-")


def run(options: Options) -> int:
    from reconciler.cli import as_json, as_text, yaml_writer
    from reconciler.run import load

    topology, left_out = load.import_compose(options.file)
    if options.json:
        listed = as_json.errors("import", left_out)["errors"]
        as_json.write({"format": 1, "command": "import", "topology": topology, "left_out": listed})
        return OK
    yaml_writer.print_topologies([topology])
    if not options.quiet:
        as_text.print_problems(left_out)
    return OK
