"""The commands, one function each: it takes the options and gives the exit code.

Each imports what it needs when it runs: importing everything takes longer than most commands.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
from typing import TYPE_CHECKING

from reconciler.cli.exit_codes import CHANGES, NOT_WHOLE, OK, ROLLED_BACK
from reconciler.model.errors import NetreconError
from reconciler.run import host

if TYPE_CHECKING:
    from reconciler.kernel.namespaces.worker import Kernel
    from reconciler.planning.intent import Intent, Planned
    from reconciler.run import survey, trace

TOPOLOGY = r"[a-z][a-z0-9-]{0,30}"  # a topology's name

Options = argparse.Namespace


def validate(options: Options) -> int:
    from reconciler.run import load

    topologies = load.load(options.files)
    if options.json:
        from reconciler.cli import as_json

        names = [topology.name for topology in topologies]
        as_json.write({"format": 1, "command": "validate", "topologies": names, "errors": []})
    elif not options.quiet:
        for topology in topologies:
            sys.stdout.write(f"{topology.name}: valid, {len(topology.objects)} objects\n")
    return OK


def lower(options: Options) -> int:
    from reconciler.cli import as_json, yaml_writer
    from reconciler.run import pipeline

    if os.geteuid() == 0:
        with host.kernel() as kernel:
            lowered = pipeline.lower(options.files, kernel)
    else:
        lowered = pipeline.lower(options.files, None)
    listed = [document.data for document in lowered]
    if options.json:
        as_json.write({"format": 1, "command": "lower", "topologies": listed})
    else:
        yaml_writer.print_topologies(listed)
    return OK


def import_(options: Options) -> int:
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


def plan(options: Options) -> int:
    from reconciler.planning.intent import to_have
    from reconciler.run import load, pipeline

    intent = to_have(load.load(options.files), options.adopt)
    with host.kernel() as kernel:
        planned = pipeline.plan(kernel, intent)
    if options.rehearse and not planned.refusals:
        from reconciler.cli import as_text
        from reconciler.run import session

        as_text.note(session.rehearsed_first(intent))
    _show_plan(options, planned, quiet=options.quiet)
    return OK if planned.in_sync else CHANGES


def rehearse(options: Options) -> int:
    from reconciler.cli import as_json
    from reconciler.planning.intent import to_have
    from reconciler.run import load, rehearsal

    intent = to_have(load.load(options.files))
    done = rehearsal.rehearse(intent, rehearsal.stand_ins(intent))
    if options.json:
        listed = {"topologies": sorted(intent.names), "applied": done.applied, "problems": []}
        as_json.write({"format": 1, "command": "rehearse", **listed})
    elif not options.quiet:
        sys.stdout.write(f"{', '.join(sorted(intent.names))}: {done}\n")
    return OK


def check(options: Options) -> int:
    from reconciler.planning.intent import to_have
    from reconciler.run import load, pipeline

    intent = to_have(load.load(options.files))
    with host.kernel() as kernel:
        planned = pipeline.plan(kernel, intent, warn=options.verbose or options.json)
    silent = options.quiet or (planned.in_sync and not options.verbose)
    _show_plan(options, planned, quiet=silent, reasons=options.verbose)
    return OK if planned.in_sync else CHANGES


def apply(options: Options) -> int:
    from reconciler.planning.intent import to_have
    from reconciler.run import load

    topologies = load.load(options.files)
    intent = to_have(topologies, options.adopt, options.force, options.keep_going)
    return _carry_out(options, dataclasses.replace(intent, verify=options.verify))


def delete(options: Options) -> int:
    from reconciler.planning.intent import to_be_gone, to_have
    from reconciler.run import load

    if bool(options.files) == bool(options.name):
        raise NetreconError("delete: give FILE or --name NAME, one of them")
    for name in options.name or ():
        if not re.fullmatch(TOPOLOGY, name):
            text = "lower-case letters, digits and hyphens, starting with a letter, at most 31"
            raise NetreconError(f"delete: --name {name!r} is not a topology name; {text}")
    declared = to_have(load.load(options.files) if options.files else ())
    names = options.name or declared.names
    return _carry_out(options, to_be_gone(names, options.force, options.keep_going, declared.relaxed))


def _carry_out(options: Options, intent: Intent) -> int:
    from reconciler.cli.audience import Audience
    from reconciler.run import session

    terms = session.Terms(
        lock_timeout=options.lock_timeout,
        rehearse=options.rehearse,
        protect=tuple(options.protect),
        confirm_within=options.confirm_within or 0.0,
        warn=options.json or not options.quiet or options.command == "apply",
        only_shut=options.quiet and not options.json,
    )
    result = session.run(intent, terms, Audience(options))
    if result.verified:
        return OK
    return ROLLED_BACK if result.rolled_back else NOT_WHOLE


def verify(options: Options) -> int:
    from reconciler.cli import as_json, as_text
    from reconciler.planning.intent import to_have
    from reconciler.run import load, look
    from reconciler.run import verify as proving

    intent = to_have(load.load(options.files))
    with host.kernel() as kernel:
        proved = proving.prove_implied(kernel, look.settled(kernel, intent).topologies)
    holds = all(one.holds for one in proved.proofs)
    if options.json:
        names = [one.name for one in intent.topologies]
        told = {**as_json.proofs(proved.proofs), "unprobed": as_json.unprobed(proved.unprobed)}
        as_json.write({"format": 1, "command": "verify", "topologies": names, **told})
    elif not (options.quiet and holds):
        as_text.print_proofs(proved, [one.name for one in intent.topologies], options.color)
    return OK if holds else CHANGES


def confirm(options: Options) -> int:
    from reconciler.safety import lock
    from reconciler.safety.commit_confirmed import committing

    with lock.held(options.lock_timeout), host.kernel() as kernel:
        kept = committing.confirm(kernel)
    if options.json:
        _settled_json(options, "confirmed", list(kept.topologies))
    elif not options.quiet:
        sys.stdout.write(f"{', '.join(kept.topologies)}: confirmed, and stays as it is.\n")
    return OK


def rollback(options: Options) -> int:
    from reconciler.cli import as_json, as_text
    from reconciler.safety import lock
    from reconciler.safety.commit_confirmed import committing

    if options.when_due:
        committing.watch(options.when_due, host.kernel)
        return OK
    with lock.held(options.lock_timeout), host.kernel() as kernel:
        undone, left = committing.go_back(kernel)
    if options.json:
        _settled_json(options, "not whole" if left else "rolled back", as_json.undone(undone, left))
    else:
        as_text.print_undone(undone, left, options.color, options.quiet)
    return NOT_WHOLE if left else OK


def _settled_json(options: Options, state: str, more: object) -> None:
    from reconciler.cli import as_json

    as_json.write({"format": 1, "command": options.command, "state": state, "result": more})


def doctor(options: Options) -> int:
    from reconciler.cli import as_json, as_text
    from reconciler.run import load, survey

    topologies = load.load(options.files) if options.files else None
    with host.kernel() as kernel:
        examined = survey.examine(kernel, topologies)
        traced = _traced(kernel, examined) if options.trace else None
    findings = [*examined.findings, *(traced.findings if traced else ())]
    if options.json:
        as_json.write(as_json.findings(examined.names, findings) | (as_json.trace(traced) if traced else {}))
    elif findings or not options.quiet:
        as_text.print_findings(findings, examined.names, options.color)
        if traced:
            as_text.print_trace(traced, options.color, options.verbose)
    return CHANGES if findings else OK


def _traced(kernel: Kernel, examined: survey.Examined) -> trace.Trace:
    from reconciler.run import trace

    return trace.trace_all(kernel, examined.objects, examined.followed)


def list_(options: Options) -> int:
    from reconciler.cli import as_json, as_text
    from reconciler.run import survey
    from reconciler.safety.commit_confirmed import confirmation

    with host.kernel() as kernel:
        counts = survey.holdings(kernel)
    waiting = confirmation.pending()
    if options.json:
        listed = [{"name": name, "objects": kinds} for name, kinds in counts.items()]
        open_ = waiting and {"topologies": list(waiting.topologies), "seconds": round(waiting.seconds, 1)}
        as_json.write({"format": 1, "command": "list", "topologies": listed, "confirmation": open_})
        return OK
    if waiting:
        as_text.note(str(waiting))
    if counts:
        as_text.print_holdings(counts, options.color)
    elif not options.quiet:
        sys.stdout.write("The kernel holds no topology of netrecon's.\n")
    return OK


def exec_(options: Options) -> int:
    from reconciler.kernel.namespaces import enter

    command = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not command:
        raise NetreconError("exec: no command; write netrecon exec NAMESPACE -- COMMAND [ARGUMENT]...")
    host.need_root()
    for warning in enter.enter(options.namespace):
        sys.stderr.write(f"netrecon: {warning}\n")
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise NetreconError(f"exec: {command[0]}: {error.strerror}") from None


def schema(options: Options) -> int:
    from reconciler.cli import as_json
    from reconciler.language import schema as language

    as_json.write(language.bundle())
    return OK


def _show_plan(options: Options, planned: Planned, quiet: bool, reasons: bool = True) -> None:
    if not options.json and quiet:
        return
    from reconciler.cli import as_json, as_text

    if options.json:
        as_json.write(as_json.plan(options.command, planned))
    else:
        as_text.print_plan(planned, options.color, options.verbose, reasons)
