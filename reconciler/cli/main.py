"""The entry point: runs one command, prints its errors and gives its exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO, cast

from reconciler import startup
from reconciler.cli import commands, options
from reconciler.cli.exit_codes import ERROR, INTERRUPTED, LOCKED, OK
from reconciler.cli.output import Output
from reconciler.cli.parsing import Misused, Options
from reconciler.model import notes, timings
from reconciler.model.errors import InputError, LockHeld, NetreconError, Problem
from reconciler.model.keys import NO_ORIGIN


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; a traceback is shown only with --debug."""
    words = _with_debug(sys.argv[1:] if arguments is None else arguments)
    notes.taken()  # of an earlier call in the same process
    if sys.stdout is None:  # started with descriptor 1 closed
        _give_up_output()
    if sys.stderr is None:  # or 2: then only the exit code reports an error
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        parsed = options.parse(words)
    except Misused as error:
        return _misused(error, words)
    except SystemExit:  # --help or --version has been printed
        return _run(None)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # or could not be printed
        _give_up_output()
        if not isinstance(error, BrokenPipeError):
            _note(_unwritten(error))
        return OK
    if parsed.debug == "timings":
        timings.started()
    code = _run(parsed)
    if parsed.debug == "timings":
        sys.stderr.writelines(f"{line}\n" for line in timings.lines())
    return code


def _with_debug(arguments: Sequence[str]) -> list[str]:
    """The arguments, ``--debug`` as ``--debug=traceback``: argparse would take the next word for its value."""
    words: list[str] = []
    for place, word in enumerate(arguments):
        if word == "--" or ("exec" in words and word[:1] != "-"):  # the rest is the command that exec runs
            return [*words, *arguments[place:]]
        if word == "timings" and arguments[place - 1 : place] == ["--debug"]:
            words[-1] = "--debug=timings"
        else:
            words.append("--debug=traceback" if word == "--debug" else word)
    return words


def _run(parsed: Options | None) -> int:
    """Carry the command out and flush its output; None: only flush what was printed."""
    out, err = Output(sys.stdout), Output(sys.stderr)
    with contextlib.redirect_stdout(cast("TextIO", out)), contextlib.redirect_stderr(cast("TextIO", err)):
        code = OK if parsed is None else _carried_out(parsed)
        for text in notes.taken():
            _note(text)
        out.flush()
        if out.error is not None and not isinstance(out.error, BrokenPipeError):  # a reader that went away is no news
            _note(_unwritten(out.error))
            err.flush()
    return code


def _note(text: str) -> None:
    from reconciler.cli import as_text

    as_text.note(text)


def _carried_out(parsed: Options) -> int:
    try:
        return int(commands.module(parsed.command).run(parsed))
    except InputError as error:
        return _fail(parsed, error.problems, ERROR)
    except LockHeld as error:
        return _fail(parsed, [Problem(NO_ORIGIN, str(error))], LOCKED)
    except NetreconError as error:
        return _fail(parsed, [Problem(NO_ORIGIN, str(error))], ERROR)
    except KeyboardInterrupt:
        return _fail(
            parsed, [Problem(NO_ORIGIN, "interrupted; run netrecon plan to see what is left to do")], INTERRUPTED
        )
    except Exception as error:
        if parsed.debug:
            raise
        text = f"unforeseen {type(error).__name__}: {error}; --debug shows where"
        return _fail(parsed, [Problem(NO_ORIGIN, text)], ERROR)


def _fail(parsed: Options, problems: list[Problem], code: int) -> int:
    from reconciler.cli import as_json, as_text

    for_stderr = problems
    try:
        if parsed.json:
            as_json.write(as_json.errors(parsed.command, problems))
        sys.stdout.flush()
        if parsed.json and getattr(sys.stdout, "error", None) is None:  # see Output
            for_stderr = []
    except OSError as error:
        _give_up_output()
        for_stderr = [*problems, Problem(NO_ORIGIN, _unwritten(error))]
    as_text.print_problems(for_stderr)
    return code


def _unwritten(error: OSError) -> str:
    return f"the output cannot be written: {error.strerror}"


def _misused(error: Misused, words: list[str]) -> int:
    ours = words[: words.index("--")] if "--" in words else words
    if "--json" in ours:
        command = next((word for word in words if not word.startswith("-")), "")
        return _fail(Options(json=True, command=command), [Problem(NO_ORIGIN, str(error))], ERROR)
    sys.stderr.write(f"{error.usage}{error}\n")
    return ERROR


def _give_up_output() -> None:
    """Drop unwritten output: the interpreter would try to write it at exit and print an error of its own."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def run() -> NoReturn:
    """The entry point of the command."""
    startup.run(main)
