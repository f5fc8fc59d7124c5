"""``netrecon rename``: gives a topology that the kernel holds another name."""

from __future__ import annotations

from reconciler.cli.exit_codes import NOT_WHOLE, OK, ROLLED_BACK
from reconciler.cli.parsing import Options, Parser
from reconciler.model.errors import NetreconError


def options(parser: Parser) -> None:
    parser.add_argument("old", metavar="OLD", help="the name now")
    parser.add_argument("new", metavar="NEW", help="the name from now on; change it in the file too")


def run(options: Options) -> int:
    from reconciler.cli.audience import Renaming
    from reconciler.model import names
    from reconciler.run import rename

    for name in (options.old, options.new):
        if not names.is_topology(name):
            raise NetreconError(f"rename: {name!r} is not a topology name; {names.TOPOLOGY_RULE}")
    if options.old == options.new:
        raise NetreconError(f"rename: {options.old} is the name already")
    result = rename.run((options.old, options.new), options.lock_timeout, Renaming(options))
    if result.verified:
        return OK
    return ROLLED_BACK if result.rolled_back else NOT_WHOLE
