"""The words of the command line: commands, their options, and what their values may be."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from reconciler import startup
from reconciler.cli import commands
from reconciler.cli.commands import Options


class Misused(Exception):
    """A command line that is none of ours."""

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
    """Looks the version up only when it is asked for: that import takes as long as a check of a small topology."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            release = version("netrecon")
        except PackageNotFoundError:
            release = "unknown"
        sys.stdout.write(f"netrecon {release}\n")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    common = _common()
    description = "Declarative network topologies for Linux: plan, apply, check."
    root = _Parser(prog="netrecon", description=description, parents=[_common()])
    # The command's own parser says nothing of what it was not given, so that an option holds on either side of it.
    root.set_defaults(json=False, verbose=False, quiet=False, color="auto", lock_timeout=0.0, debug="")
    root.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    added = root.add_subparsers(prog="netrecon", dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def add(name: str, run: Callable[[Options], int], text: str, files: str | None = "+") -> argparse.ArgumentParser:
        one = added.add_parser(name, help=text, description=text, parents=[common])
        one.set_defaults(run=run)
        if files:
            one.add_argument("files", nargs=files, metavar="FILE|DIR|-", help="topology files, or folders of them")
        return one

    add("validate", commands.validate, "check files without looking at the kernel")
    add("lower", commands.lower, "print networks and sandboxes as the plain objects that they become")
    one = add("import", commands.import_, "print the topology that a file of another program amounts to", files=None)
    one.add_argument("format", choices=("compose",), help="compose: a Docker Compose file")
    one.add_argument("file", metavar="FILE|-")
    one = add("plan", commands.plan, "show what apply would do (exit 2: there is something to do)")
    one.add_argument("--adopt", action="store_true", help="take over matching objects that bear no stamp")
    _rehearsing(one)
    add("rehearse", commands.rehearse, "carry the files out in an empty throwaway host; needs no root")
    one = add("apply", commands.apply, "make the kernel match the files")
    one.add_argument("--adopt", action="store_true", help="take over matching objects that bear no stamp")
    one.add_argument("--verify", action="store_true", help="go back when an expectation does not hold")
    _changing(one)
    add("check", commands.check, "silent when in sync, exit 2 on drift")
    one = add("delete", commands.delete, "remove what the topology owns", files="*")
    one.add_argument("--name", action="append", metavar="NAME", help="a topology by its name, without its file")
    _changing(one)
    add(
        "doctor",
        commands.doctor,
        "what keeps packets from where the files would send them (exit 2: something does)",
        files="*",
    )
    add("verify", commands.verify, "prove what the files expect of the traffic (exit 2: something is not so)")
    add("confirm", commands.confirm, "keep what apply --confirm-within has applied", files=None)
    one = add(
        "rollback", commands.rollback, "take back an apply that waits for confirmation, or that was killed", files=None
    )
    one.add_argument("--when-due", metavar="ID", help=argparse.SUPPRESS)
    add("list", commands.list_, "the topologies that the kernel holds", files=None)
    one = add("exec", commands.exec_, "run a command in a namespace, with its resolv.conf and hosts", files=None)
    one.add_argument("namespace", metavar="NAMESPACE")
    one.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD...")
    add("schema", commands.schema, "print the JSON Schema of the language", files=None)
    return root


def _rehearsing(parser: argparse.ArgumentParser) -> None:
    text = "first carry it out in a throwaway copy of this host's network"
    parser.add_argument("--rehearse", action="store_true", help=text)


def _changing(parser: argparse.ArgumentParser) -> None:
    """The options of all commands that change the kernel."""
    _rehearsing(parser)
    text = "do it even where processes live in a namespace to be deleted, or it may cut you off"
    parser.add_argument("--force", action="store_true", help=text)
    text = "refuse what would cut the way to this address, as to the SSH session that runs netrecon"
    parser.add_argument("--protect", type=_address, action="append", default=[], metavar="ADDRESS", help=text)
    group = parser.add_mutually_exclusive_group()
    text = "go back by itself unless netrecon confirm says within this time (60s, 5m) that it may stay"
    group.add_argument("--confirm-within", type=_duration, metavar="TIME", help=text)
    group.add_argument(
        "--keep-going", action="store_true", help="apply all that can be applied instead of going back on a failure"
    )


def _common() -> _Parser:
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    unsaid = argparse.SUPPRESS
    common.add_argument("--json", action="store_true", default=unsaid, help="one JSON document on stdout, nothing else")
    common.add_argument("-v", "--verbose", action="store_true", default=unsaid, help="say more")
    common.add_argument("-q", "--quiet", action="store_true", default=unsaid, help="say nothing but errors")
    common.add_argument("--color", choices=("auto", "always", "never"), help="colour; NO_COLOR counts too")
    common.add_argument("--lock-timeout", type=_seconds, metavar="S", help="wait for another run")
    common.add_argument(
        "--debug",
        choices=("traceback", "timings"),
        help="show the traceback of an unforeseen error; timings: where the time went, on stderr",
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
    """Seconds of ``90``, ``90s``, ``5m`` or ``1h``."""
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
