"""The parsers' class, the options that several commands have, and the types of their values."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from reconciler import startup

Options = argparse.Namespace


class Misused(Exception):
    """The command line is wrong; ``usage`` is argparse's usage text."""

    def __init__(self, usage: str, message: str) -> None:
        super().__init__(message)
        self.usage = usage


class Parser(argparse.ArgumentParser):
    """Usage errors exit 1, so that 2 always means drift.  ``intermixed``: options may stand between the other words."""

    intermixed = False

    def __init__(self, **words: Any) -> None:
        super().__init__(formatter_class=startup.help_formatter, **words)

    def parse(self, words: Sequence[str], options: Options) -> Options:
        """Fill the options with the words.  Raises Misused; SystemExit after --help."""
        return (self.parse_intermixed_args if self.intermixed else self.parse_args)(words, options)

    def error(self, message: str) -> NoReturn:
        raise Misused(self.format_usage(), f"{self.prog}: {message}")


def add_common(parser: Parser) -> None:
    """Add the options that stand before or after the command; they have no defaults, which one would overwrite."""
    absent = argparse.SUPPRESS

    def add(*names: str, **words: Any) -> None:
        parser.add_argument(*names, default=absent, **words)

    add("--json", action="store_true", help="one JSON document on stdout, nothing else")
    add("-v", "--verbose", action="store_true", help="print more")
    add("-q", "--quiet", action="store_true", help="print only errors")
    add("--color", choices=("auto", "always", "never"), help="colours; auto heeds NO_COLOR")
    add("--lock-timeout", type=seconds, metavar="S", help="wait up to S seconds for another run to end")
    text = "show the traceback of an unforeseen error; timings: print the time of each stage on stderr"
    add("--debug", choices=("traceback", "timings"), help=text)


def add_files(parser: Parser, number: str = "+") -> None:
    parser.add_argument("files", nargs=number, metavar="FILE|DIR|-", help="topology files, or folders of them")


def add_adopt(parser: Parser) -> None:
    parser.add_argument("--adopt", action="store_true", help="take over matching objects that have no stamp")


def add_rehearse(parser: Parser) -> None:
    text = "first apply it in a throwaway copy of this host's network"
    parser.add_argument("--rehearse", action="store_true", help=text)


# ------------------------------------------------------------------------------------------------ types


def seconds(text: str) -> float:
    """A number of seconds, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return value


def duration(text: str) -> float:
    """The seconds in ``90``, ``90s``, ``5m`` or ``1h``: 1 s to a day."""
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        value = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        value = 0
    if not 1 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 60s, 5m or 1h")
    return value


def address(text: str) -> str:
    """An IP address in its shortest form."""
    from ipaddress import ip_address

    try:
        return str(ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address") from None
