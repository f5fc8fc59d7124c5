"""``netrecon exec``: runs a command in a namespace, with its resolv.conf and hosts."""

from __future__ import annotations

import argparse
import os
import sys

from reconciler.cli.exit_codes import NO_COMMAND, NOT_RUN
from reconciler.cli.parsing import Options, Parser
from reconciler.model.errors import NetreconError


def options(parser: Parser) -> None:
    parser.add_argument("namespace", metavar="NAMESPACE")
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD...")


def run(options: Options) -> int:
    from reconciler.kernel.namespaces import enter
    from reconciler.run import host

    command = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not command or not command[0]:
        raise NetreconError("exec: no command; write netrecon exec NAMESPACE -- COMMAND [ARGUMENT]...")
    host.need_root()
    for warning in enter.enter(options.namespace):
        sys.stderr.write(f"netrecon: {warning}\n")
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"netrecon: exec: {command[0]}: {error.strerror}\n")
        return NO_COMMAND if isinstance(error, FileNotFoundError) else NOT_RUN
