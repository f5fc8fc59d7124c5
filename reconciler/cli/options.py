"""The command line: commands, options, and the values that they take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from reconciler import startup
from reconciler.cli import commands
from reconciler.cli.commands import Options


class Misused(Exception):
    """The command line is wrong; ``usage`` is argparse's usage text."""

    def __init__(self, usage: str, message: str) -> None:
        super().__init__(message)
        self.usage = usage


class _Parser(argparse.ArgumentParser):
    """Usage errors exit 1, so that 2 always means drift."""

    def __init__(self, **words: Any) -> None:
        super().__init__(formatter_class=startup.help_formatter, **words)

    def error(self, message: str) -> NoReturn:
        raise Misused(self.format_usage(), f"{self.prog}: {message}")


class _Version(argparse.Action):
    """Prints the version, and only then imports importlib.metadata, which takes as long as a small check."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            release = version("netrecon")
        except PackageNotFoundError:
            release = "unknown"
        sys.stdout.write(f"netrecon {release}\n")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The parser; its options have ``run``, the function of the command.  It raises Misused."""
    common = _common()
    description = "Declarative network topologies for Linux: plan, apply, check."
    root = _Parser(prog="netrecon", description=description, parents=[_common()])
    # The common options are accepted before and after the command.  The command's parser has no defaults for them,
    # which would overwrite what was given before the command.
    root.set_defaults(json=False, verbose=False, quiet=False, color="auto", lock_timeout=0.0, debug="")
    root.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    added = root.add_subparsers(prog="netrecon", dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def add(name: str, run: Callable[[Options], int], text: str, files: str | None = "+") -> argparse.ArgumentParser:
        command = added.add_parser(name, help=text, description=text, parents=[common])
        command.set_defaults(run=run)
        if files:
            command.add_argument("files", nargs=files, metavar="FILE|DIR|-", help="topology files, or folders of them")
        return command

    add("validate", commands.validate, "check files without looking at the kernel")
    add("lower", commands.lower, "print the files with networks and sandboxes turned into bridges, veths and so on")
    command = add(
        "import", commands.import_, "convert a file of another program to a topology and print it", files=None
    )
    command.add_argument("format", choices=("compose",), help="compose: a Docker Compose file")
    command.add_argument("file", metavar="FILE|-")
    command = add("plan", commands.plan, "show what apply would do (exit 2: there is something to do)")
    command.add_argument("--adopt", action="store_true", help="take over matching objects that have no stamp")
    _rehearsing(command)
    add("rehearse", commands.rehearse, "apply the files in an empty throwaway network; needs no root")
    command = add("apply", commands.apply, "make the kernel match the files")
    command.add_argument("--adopt", action="store_true", help="take over matching objects that have no stamp")
    command.add_argument("--verify", action="store_true", help="undo all changes if an expectation does not hold")
    _changing(command)
    add("check", commands.check, "silent when in sync, exit 2 on drift")
    command = add("delete", commands.delete, "delete what the topology owns", files="*")
    command.add_argument("--name", action="append", metavar="NAME", help="a topology by its name, without its file")
    _changing(command)
    command = add(
        "doctor",
        commands.doctor,
        "find what keeps packets from getting where the files send them (exit 2: something does)",
        files="*",
    )
    text = "also send probe packets, and show by which rules of nftables each goes"
    command.add_argument("--trace", action="store_true", help=text)
    text = "send packets to check what the files expect or, without that, imply (exit 2: something does not hold)"
    add("verify", commands.verify, text)
    add("confirm", commands.confirm, "keep what apply --confirm-within has applied", files=None)
    command = add(
        "rollback", commands.rollback, "undo an apply that waits for confirmation, or that was killed", files=None
    )
    command.add_argument("--when-due", metavar="ID", help=argparse.SUPPRESS)
    add("list", commands.list_, "list the topologies that have objects in the kernel", files=None)
    command = add("exec", commands.exec_, "run a command in a namespace, with its resolv.conf and hosts", files=None)
    command.add_argument("namespace", metavar="NAMESPACE")
    command.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD...")
    add("schema", commands.schema, "print the JSON Schema of the language", files=None)
    return root


def _rehearsing(parser: argparse.ArgumentParser) -> None:
    text = "first apply it in a throwaway copy of this host's network"
    parser.add_argument("--rehearse", action="store_true", help=text)


def _changing(parser: argparse.ArgumentParser) -> None:
    """Add the options of all commands that change the kernel."""
    _rehearsing(parser)
    text = "even delete a namespace in which processes run, and even cut your own SSH session"
    parser.add_argument("--force", action="store_true", help=text)
    text = "refuse changes that would cut the connection to ADDRESS; your SSH session is always protected"
    parser.add_argument("--protect", type=_address, action="append", default=[], metavar="ADDRESS", help=text)
    group = parser.add_mutually_exclusive_group()
    text = "undo all changes unless netrecon confirm is run within TIME (60s, 5m)"
    group.add_argument("--confirm-within", type=_duration, metavar="TIME", help=text)
    group.add_argument(
        "--keep-going", action="store_true", help="after a failure apply the other changes instead of undoing all"
    )


def _common() -> _Parser:
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    absent = argparse.SUPPRESS
    common.add_argument("--json", action="store_true", default=absent, help="one JSON document on stdout, nothing else")
    common.add_argument("-v", "--verbose", action="store_true", default=absent, help="print more")
    common.add_argument("-q", "--quiet", action="store_true", default=absent, help="print only errors")
    common.add_argument("--color", choices=("auto", "always", "never"), help="colours; auto heeds NO_COLOR")
    common.add_argument(
        "--lock-timeout", type=_seconds, metavar="S", help="wait up to S seconds for another run to end"
    )
    common.add_argument(
        "--debug",
        choices=("traceback", "timings"),
        help="show the traceback of an unforeseen error; timings: print the time of each stage on stderr",
    )
    return common


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return value


def _duration(text: str) -> float:
    """The seconds in ``90``, ``90s``, ``5m`` or ``1h``: 1 s to a day."""
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        value = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        value = 0
    if not 1 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 60s, 5m or 1h")
    return value


def _address(text: str) -> str:
    from ipaddress import ip_address

    try:
        return str(ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address") from None
