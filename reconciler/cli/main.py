"""Commands, options and exit codes."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import dataclasses
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from reconciler.model import timings
from reconciler.model.errors import InputError, LockHeld, NetreconError, Problem
from reconciler.model.keys import NO_ORIGIN

if TYPE_CHECKING:
    from reconciler.kernel.namespaces.worker import Kernel
    from reconciler.planning.intent import Intent, Planned, Result
    from reconciler.run.rehearsal import Rehearsed
    from reconciler.safety.commit_confirmed.confirmation import Confirmation
    from reconciler.safety.interrupts import Interrupt

OK, ERROR, CHANGES, ROLLED_BACK, NOT_WHOLE, LOCKED = 0, 1, 2, 3, 4, 5

TOPOLOGY = r"[a-z][a-z0-9-]{0,30}"  # a topology's name

Options = argparse.Namespace


class _Misused(Exception):
    """A command line that is none of ours."""

    def __init__(self, usage: str, message: str) -> None:
        super().__init__(message)
        self.usage = usage


def _help(prog: str) -> argparse.HelpFormatter:
    """As argparse's own; that asks shutil for the width, whose import takes 4 ms, for each option that is declared."""
    try:
        columns = int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        try:
            columns = os.get_terminal_size(1).columns or 80
        except OSError:
            columns = 80
    return argparse.HelpFormatter(prog, width=columns - 2)


class _Parser(argparse.ArgumentParser):
    """Usage errors exit 1, so that 2 always means drift."""

    def __init__(self, **words: Any) -> None:
        super().__init__(formatter_class=_help, **words)

    def error(self, message: str) -> NoReturn:
        raise _Misused(self.format_usage(), f"{self.prog}: {message}")


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


# ------------------------------------------------------------------------------------------------ commands


def validate(options: Options) -> int:
    from reconciler.run import load

    topologies = load.load(options.files)
    if options.json:
        from reconciler.cli import report

        names = [one.name for one in topologies]
        report.print_json({"format": 1, "command": "validate", "topologies": names, "errors": []})
    elif not options.quiet:
        for one in topologies:
            sys.stdout.write(f"{one.name}: valid, {len(one.objects)} objects\n")
    return OK


def lower(options: Options) -> int:
    from reconciler.cli import report
    from reconciler.run import pipeline

    if os.geteuid() == 0:
        with _kernel() as kernel:
            lowered = pipeline.lower(options.files, kernel)
    else:
        lowered = pipeline.lower(options.files, None)
    listed = [one.data for one in lowered]
    if options.json:
        report.print_json({"format": 1, "command": "lower", "topologies": listed})
    else:
        report.print_topologies(listed)
    return OK


def import_(options: Options) -> int:
    from reconciler.cli import report
    from reconciler.run import load

    topology, left_out = load.import_compose(options.file)
    if options.json:
        listed = report.errors_json("import", left_out)["errors"]
        report.print_json({"format": 1, "command": "import", "topology": topology, "left_out": listed})
        return OK
    report.print_topologies([topology])
    if not options.quiet:
        report.print_problems(left_out)
    return OK


def plan(options: Options) -> int:
    from reconciler.run import load, pipeline

    intent = pipeline.to_have(load.load(options.files), options.adopt)
    with _kernel() as kernel:
        planned = pipeline.plan(kernel, intent)
    if options.rehearse:
        _rehearse_first(intent)
    _show_plan(options, planned, quiet=options.quiet)
    return CHANGES if planned.changes else OK


def rehearse(options: Options) -> int:
    from reconciler.cli import report
    from reconciler.run import load, pipeline, rehearsal

    intent = pipeline.to_have(load.load(options.files))
    done = rehearsal.rehearse(intent, rehearsal.stand_ins(intent))
    if options.json:
        listed = {"topologies": sorted(intent.names), "applied": done.applied, "problems": []}
        report.print_json({"format": 1, "command": "rehearse", **listed})
    elif not options.quiet:
        sys.stdout.write(f"{', '.join(sorted(intent.names))}: {_rehearsed(done)}\n")
    return OK


def _rehearsed(done: Rehearsed) -> str:
    text = f"rehearsed in a throwaway copy: {done.applied} changes applied and verified"
    return text + (f" (without {', '.join(done.lacking[:5])})" if done.lacking else "")


def _rehearse_first(intent: Intent) -> None:
    """For --rehearse: InputError where the kernel would refuse.  No thread may run, so this reads by itself."""
    from reconciler.run import pipeline, rehearsal

    with _kernel() as kernel:
        planned = pipeline.plan(kernel, intent, warn=False)
    if planned.changes:
        _note(_rehearsed(rehearsal.rehearse(planned.intent, planned.live)))


def check(options: Options) -> int:
    from reconciler.run import load, pipeline

    intent = pipeline.to_have(load.load(options.files))
    with _kernel() as kernel:
        planned = pipeline.plan(kernel, intent, warn=options.verbose)
    silent = options.quiet or (not planned.changes and not options.verbose)
    _show_plan(options, planned, quiet=silent)
    return CHANGES if planned.changes else OK


def apply(options: Options) -> int:
    from reconciler.run import load, pipeline

    topologies = load.load(options.files)
    intent = pipeline.to_have(topologies, options.adopt, options.force, options.keep_going)
    return _carry_out(options, dataclasses.replace(intent, verify=options.verify))


def delete(options: Options) -> int:
    from reconciler.run import load, pipeline

    if bool(options.files) == bool(options.name):
        raise NetreconError("delete: give FILE or --name NAME, one of them")
    for name in options.name or ():
        if not re.fullmatch(TOPOLOGY, name):
            text = "lower-case letters, digits and hyphens, starting with a letter, at most 31"
            raise NetreconError(f"delete: --name {name!r} is not a topology name; {text}")
    names = options.name or [one.name for one in load.load(options.files)]
    return _carry_out(options, pipeline.to_be_gone(names, options.force, options.keep_going))


def _carry_out(options: Options, intent: Intent) -> int:
    from reconciler.run import pipeline
    from reconciler.safety import interrupts, lock
    from reconciler.safety.commit_confirmed import committing

    _need_root()
    armed: list[Confirmation] = []
    with lock.held(options.lock_timeout), contextlib.ExitStack() as stack:
        if options.rehearse:
            _rehearse_first(intent)
        kernel = stack.enter_context(_kernel())
        _note(committing.refuse_or_settle(kernel))
        planned = pipeline.plan(kernel, intent, warn=options.json or not options.quiet)
        if planned.changes and not (options.force or options.confirm_within):
            pipeline.refuse_lockout(kernel, planned, options.protect)
        with interrupts.put_off() as interrupt:
            result = _apply(options, kernel, planned, interrupt, armed)
            if not armed:
                return _told(options, planned, result)
    return _confirmed(options, planned, result, armed[0])


def _apply(
    options: Options, kernel: Kernel, planned: Planned, interrupt: Interrupt, armed: list[Confirmation]
) -> Result:
    """Apply; with --confirm-within what is then to be confirmed is left in ``armed``."""
    from reconciler.cli import report
    from reconciler.run import converge
    from reconciler.safety.commit_confirmed import committing, confirmation

    loud = not (options.json or options.quiet)
    if loud and planned.changes:
        report.print_plan(planned, options.color, options.verbose)

    def arm() -> None:
        armed.append(committing.arm(planned.intent.names, options.confirm_within))

    try:
        with report.progress(planned, options.color, loud) as progress:
            result = converge.apply(kernel, planned, progress, interrupt, arm if options.confirm_within else None)
    except NetreconError:
        if armed:  # nothing was changed
            confirmation.close(armed[0], "rolled back")
        raise
    if armed and result.verified:
        armed[0] = confirmation.restart(armed[0])
    elif armed:
        confirmation.close(armed.pop(), "rolled back" if result.rolled_back else "not whole")
    return result


def _told(options: Options, planned: Planned, result: Result) -> int:
    from reconciler.cli import report

    if options.json:
        report.print_json(report.plan_json(options.command, planned, result))
    elif planned.changes:
        report.print_result(result, planned, options.color, options.quiet)
    elif not options.quiet:
        report.print_plan(planned, options.color)
    if result.verified:
        return OK
    return ROLLED_BACK if result.rolled_back else NOT_WHOLE


def _confirmed(options: Options, planned: Planned, result: Result, one: Confirmation) -> int:
    """Wait for the confirmation, and tell how it ended."""
    from reconciler.safety import interrupts
    from reconciler.safety.commit_confirmed import committing

    _note(f"{one} (in any shell, or typed here)")
    # The end of a session (SIGHUP) must not take back what its user may confirm from a new one.
    with interrupts.put_off((signal.SIGINT,)) as interrupt:
        settled = committing.wait(one, _kernel, interrupt)
        result.confirmed = settled.state == "confirmed"
        if not result.confirmed:
            result.rolled_back = settled.state == "rolled back"
            result.trouble = settled.told or "not confirmed"
        return _told(options, planned, result)


def verify(options: Options) -> int:
    from reconciler.cli import report
    from reconciler.run import converge, load

    topologies = load.load(options.files)
    with _kernel() as kernel:
        proofs = converge.prove(kernel, topologies)
    if options.json:
        names = [one.name for one in topologies]
        report.print_json({"format": 1, "command": "verify", "topologies": names, **report.proofs_json(proofs)})
    elif not (options.quiet and all(one.holds for one in proofs)):
        report.print_proofs(proofs, options.color)
    return OK if all(one.holds for one in proofs) else CHANGES


def confirm(options: Options) -> int:
    from reconciler.safety import lock
    from reconciler.safety.commit_confirmed import committing

    with lock.held(options.lock_timeout), _kernel() as kernel:
        found = committing.confirm(kernel)
    if options.json:
        _settled_json(options, "confirmed", list(found.topologies))
    elif not options.quiet:
        sys.stdout.write(f"{', '.join(found.topologies)}: confirmed, and stays as it is.\n")
    return OK


def rollback(options: Options) -> int:
    from reconciler.cli import report
    from reconciler.safety import lock
    from reconciler.safety.commit_confirmed import committing

    if options.when_due:
        committing.watch(options.when_due, _kernel)
        return OK
    with lock.held(options.lock_timeout), _kernel() as kernel:
        undone, left = committing.go_back(kernel)
    if options.json:
        _settled_json(options, "not whole" if left else "rolled back", report.undone_json(undone, left))
    else:
        report.print_undone(undone, left, options.color, options.quiet)
    return NOT_WHOLE if left else OK


def _settled_json(options: Options, state: str, more: object) -> None:
    from reconciler.cli import report

    report.print_json({"format": 1, "command": options.command, "state": state, "result": more})


def doctor(options: Options) -> int:
    from reconciler.cli import report
    from reconciler.run import load, pipeline

    topologies = load.load(options.files) if options.files else None
    with _kernel() as kernel:
        names, findings = pipeline.examine(kernel, topologies)
    if options.json:
        report.print_json(report.findings_json(names, findings))
    elif findings or not options.quiet:
        report.print_findings(findings, names, options.color)
    return CHANGES if findings else OK


def list_(options: Options) -> int:
    from reconciler.cli import report
    from reconciler.run import pipeline
    from reconciler.safety.commit_confirmed import confirmation

    with _kernel() as kernel:
        counts = pipeline.holdings(kernel)
    waiting = confirmation.pending()
    if options.json:
        listed = [{"name": name, "objects": kinds} for name, kinds in counts.items()]
        open_ = waiting and {"topologies": list(waiting.topologies), "seconds": round(waiting.seconds, 1)}
        report.print_json({"format": 1, "command": "list", "topologies": listed, "confirmation": open_})
        return OK
    if waiting:
        _note(str(waiting))
    if counts:
        report.print_holdings(counts, options.color)
    elif not options.quiet:
        sys.stdout.write("The kernel holds no topology of netrecon's.\n")
    return OK


def exec_(options: Options) -> int:
    from reconciler.kernel.namespaces import enter

    command = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not command:
        raise NetreconError("exec: no command; write netrecon exec NAMESPACE -- COMMAND [ARGUMENT]...")
    _need_root()
    for warning in enter.enter(options.namespace):
        sys.stderr.write(f"netrecon: {warning}\n")
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise NetreconError(f"exec: {command[0]}: {error.strerror}") from None


def schema(options: Options) -> int:
    from reconciler.cli import report
    from reconciler.language import schema as language

    report.print_json(language.bundle())
    return OK


# ------------------------------------------------------------------------------------------------ helpers


def _kernel() -> Kernel:
    _need_root()
    from reconciler.kernel.namespaces.worker import Kernel

    return Kernel()


def _note(text: str) -> None:
    """A line for people about the run itself; stderr may be a terminal that is gone."""
    if text:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"netrecon: {text}\n")
            sys.stderr.flush()


def _need_root() -> None:
    if os.geteuid() != 0:
        raise NetreconError("this reads and changes other network namespaces, which needs root; run it with sudo")


def _show_plan(options: Options, planned: Planned, quiet: bool) -> None:
    if not options.json and quiet:
        return
    from reconciler.cli import report

    if options.json:
        report.print_json(report.plan_json(options.command, planned))
    else:
        report.print_plan(planned, options.color, options.verbose)


# ------------------------------------------------------------------------------------------------ options


def _parser() -> argparse.ArgumentParser:
    common = _common()
    description = "Declarative network topologies for Linux: plan, apply, check."
    parser = _Parser(prog="netrecon", description=description, parents=[_common()])
    # The command's own parser says nothing of what it was not given, so that an option holds on either side of it.
    parser.set_defaults(json=False, verbose=False, quiet=False, color="auto", lock_timeout=0.0, debug="")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(
        prog="netrecon", dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )

    def add(name: str, run: Callable[[Options], int], text: str, files: str | None = "+") -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text, parents=[common])
        one.set_defaults(run=run)
        if files:
            one.add_argument("files", nargs=files, metavar="FILE|DIR|-", help="topology files, or folders of them")
        return one

    add("validate", validate, "check files without looking at the kernel")
    add("lower", lower, "print networks and sandboxes as the plain objects that they become")
    one = add("import", import_, "print the topology that a file of another program amounts to", files=None)
    one.add_argument("format", choices=("compose",), help="compose: a Docker Compose file")
    one.add_argument("file", metavar="FILE|-")
    one = add("plan", plan, "show what apply would do (exit 2: there is something to do)")
    one.add_argument("--adopt", action="store_true", help="take over matching objects that bear no stamp")
    _rehearsing(one)
    add("rehearse", rehearse, "carry the files out in an empty throwaway host; needs no root")
    one = add("apply", apply, "make the kernel match the files")
    one.add_argument("--adopt", action="store_true", help="take over matching objects that bear no stamp")
    one.add_argument("--verify", action="store_true", help="go back when an expectation does not hold")
    _changing(one)
    add("check", check, "silent when in sync, exit 2 on drift")
    one = add("delete", delete, "remove what the topology owns", files="*")
    one.add_argument("--name", action="append", metavar="NAME", help="a topology by its name, without its file")
    _changing(one)
    add("doctor", doctor, "what keeps packets from where the files would send them (exit 2: something does)", files="*")
    add("verify", verify, "prove what the files expect of the traffic (exit 2: something is not so)")
    add("confirm", confirm, "keep what apply --confirm-within has applied", files=None)
    one = add("rollback", rollback, "take back an apply that waits for confirmation, or that was killed", files=None)
    one.add_argument("--when-due", metavar="ID", help=argparse.SUPPRESS)
    add("list", list_, "the topologies that the kernel holds", files=None)
    one = add("exec", exec_, "run a command in a namespace, with its resolv.conf and hosts", files=None)
    one.add_argument("namespace", metavar="NAMESPACE")
    one.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD...")
    add("schema", schema, "print the JSON Schema of the language", files=None)
    return parser


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
    from reconciler.safety.commit_confirmed.confirmation import duration

    try:
        return duration(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 60s, 5m or 1h") from None


def _address(text: str) -> str:
    from ipaddress import ip_address

    try:
        return str(ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; no traceback reaches the user without --debug."""
    words = _with_debug(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # started with descriptor 1 closed
        _give_up_output()
    if sys.stderr is None:  # or 2: the exit code still tells
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        options = _parser().parse_args(words)
    except _Misused as error:
        return _misused(error, words)
    except SystemExit:  # --help and --version have said it
        return _run(Options(run=lambda _options: OK, json=False, debug=""))
    except OSError as error:  # or could not
        _give_up_output()
        return _fail(Options(json=False), [Problem(NO_ORIGIN, _unwritten(error))], ERROR)
    if options.debug == "timings":
        timings.started()
    code = _run(options)
    if options.debug == "timings":
        sys.stderr.writelines(f"{line}\n" for line in timings.lines())
    return code


def _with_debug(arguments: Sequence[str]) -> list[str]:
    """``--debug`` alone means the traceback: it must not take the word behind it for its value."""
    words: list[str] = []
    for place, word in enumerate(arguments):
        if word == "--" or ("exec" in words and word[:1] != "-"):  # what follows is another program's
            return [*words, *arguments[place:]]
        if word == "timings" and arguments[place - 1 : place] == ["--debug"]:
            words[-1] = "--debug=timings"
        else:
            words.append("--debug=traceback" if word == "--debug" else word)
    return words


def _run(options: Options) -> int:
    try:
        code = int(options.run(options))
        sys.stdout.flush()  # what cannot be written is to be found out here, not by the interpreter as it ends
        return code
    except InputError as error:
        return _fail(options, error.problems, ERROR)
    except LockHeld as error:
        return _fail(options, [Problem(NO_ORIGIN, str(error))], LOCKED)
    except NetreconError as error:
        return _fail(options, [Problem(NO_ORIGIN, str(error))], ERROR)
    except BrokenPipeError:  # the reader of our output went away: nothing to say and nobody to say it to
        _give_up_output()
        return ERROR
    except KeyboardInterrupt:
        return _fail(options, [Problem(NO_ORIGIN, "interrupted; run netrecon plan to see what is left to do")], 130)
    except Exception as error:
        if options.debug:
            raise
        text = f"unforeseen {type(error).__name__}: {error}; --debug shows where"
        return _fail(options, [Problem(NO_ORIGIN, text)], ERROR)


def _fail(options: Options, problems: list[Problem], code: int) -> int:
    from reconciler.cli import report

    told = problems
    try:
        if options.json:
            report.print_json(report.errors_json(options.command, problems))
            told = []
        sys.stdout.flush()
    except OSError as error:
        _give_up_output()
        told = [*problems, Problem(NO_ORIGIN, _unwritten(error))]
    report.print_problems(told)
    return code


def _unwritten(error: OSError) -> str:
    return f"the output cannot be written: {error.strerror}"


def _misused(error: _Misused, words: list[str]) -> int:
    ours = words[: words.index("--")] if "--" in words else words
    if "--json" in ours:
        command = next((word for word in words if not word.startswith("-")), "")
        return _fail(Options(json=True, command=command), [Problem(NO_ORIGIN, str(error))], ERROR)
    sys.stderr.write(f"{error.usage}{error}\n")
    return ERROR


def _give_up_output() -> None:
    """Else the interpreter would try once more to write what is left, and say in its own words that it cannot."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def run() -> NoReturn:
    """The entry point of the command.

    The collector of cycles is off: a run only grows and soon ends, and to look for cycles took a fifth of a check
    of 1,000 namespaces.  Nor is every object freed and every module undone at the end, which took a tenth of a small
    check: the kernel takes the memory back as a whole.
    """
    gc.disable()
    code = main()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()  # stdout is flushed, or given up, already
    os._exit(code)
