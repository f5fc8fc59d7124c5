"""Parses the command line: first the words before the command, then those of the command by its own parser."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from reconciler import __version__
from reconciler.cli import commands
from reconciler.cli.commands import COMMANDS
from reconciler.cli.parsing import Options, Parser, add_common


class _Version(argparse.Action):
    """Prints the version."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        sys.stdout.write(f"netrecon {__version__}\n")
        parser.exit()


class _Root(Parser):
    """The parser of the words before the command; its help lists the commands."""

    def format_help(self) -> str:
        width = max(map(len, COMMANDS))
        lines = (f"  {name:{width}}  {command.help}\n" for name, command in COMMANDS.items())
        return (
            f"{super().format_help()}\ncommands (netrecon COMMAND --help shows the options of one):\n{''.join(lines)}"
        )


def root() -> Parser:
    """The parser of the words before the command; it gives the command and the words after it as ``words``."""
    parser = _Root(prog="netrecon", description="Declarative network topologies for Linux: plan, apply, check.")
    parser.set_defaults(json=False, verbose=False, quiet=False, color="auto", lock_timeout=0.0, debug="")
    add_common(parser)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    parser.add_argument("words", nargs=argparse.PARSER, metavar="COMMAND", help="one of those below, and its words")
    return parser


def of_command(name: str) -> Parser:
    """The parser of the words after the command."""
    parser = Parser(prog=f"netrecon {name}", description=COMMANDS[name].help)
    add_common(parser)
    commands.module(name).options(parser)
    return parser


def parse(words: Sequence[str]) -> Options:
    """The options of a command line, with the ``command``.  Raises Misused; SystemExit after --help or --version."""
    options = root().parse_args(words)
    options.command, *rest = options.words
    if options.command not in COMMANDS:
        root().error(_unknown(options.command))
    return of_command(options.command).parse(rest, options)


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, 1)
    return f"there is no command {name!r}; " + (f"did you mean {near[0]}?" if near else "netrecon --help lists them")
