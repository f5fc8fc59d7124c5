"""``netrecon apply``: makes the kernel match the files."""

from __future__ import annotations

from reconciler.cli.changing import add_changing, carry_out
from reconciler.cli.parsing import Options, Parser, add_adopt, add_files
from reconciler.model import data as dataclasses


def options(parser: Parser) -> None:
    add_files(parser)
    add_adopt(parser)
    parser.add_argument("--verify", action="store_true", help="undo all changes if an expectation does not hold")
    add_changing(parser)


def run(options: Options) -> int:
    from reconciler.planning.intent import to_have
    from reconciler.run import load

    intent = to_have(load.load(options.files), options.adopt, options.force, options.keep_going)
    return carry_out(options, dataclasses.replace(intent, verify=options.verify))
