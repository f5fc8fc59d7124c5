"""Writes the JSON documents of the commands."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from reconciler.cli import failures, shown
from reconciler.cli.shown import GLYPHS, sides
from reconciler.model.changes import Change
from reconciler.model.errors import Failure, Problem
from reconciler.model.keys import HOST
from reconciler.planning.apply import Failed
from reconciler.planning.finding import Finding
from reconciler.planning.intent import Planned, Proof, Result

if TYPE_CHECKING:
    from reconciler.model.tracing import Traced
    from reconciler.planning.doctor.traced import Trail
    from reconciler.planning.implied import Unprobed
    from reconciler.run.trace import Trace

FORMAT = 1


def write(document: Mapping[str, Any]) -> None:
    """Write one document to stdout; json.dumps escapes control characters, which names from the kernel may have."""
    sys.stdout.write(json.dumps(document, indent=1, default=str) + "\n")


def errors(command: str, problems: Iterable[Problem]) -> dict[str, Any]:
    return {"format": FORMAT, "command": command, "errors": rows(problems)}


def rows(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """The rows of problems."""
    return [_problem(problem) for problem in problems]


def _problem(problem: Problem) -> dict[str, Any]:
    file, line, column, _path = problem.origin
    return {"file": file, "line": line, "column": column, "path": problem.origin.dotted, "message": problem.message}


def plan(command: str, planned: Planned, result: Result | None = None) -> dict[str, Any]:
    """The document of plan, check, apply and delete; ``result`` is given after a run that changed something."""
    counts = Counter(change.action for change in planned.changes)
    document: dict[str, Any] = {
        "format": FORMAT,
        "command": command,
        "topologies": sorted(planned.intent.names),
        "in_sync": planned.in_sync,
        "summary": {action: counts[action] for action in GLYPHS},
        "changes": [_change(change) for change in planned.changes],
        "warnings": [*map(_refusal, planned.refusals), *map(_finding, planned.warnings)],
    }
    if losses := list(shown.losses(planned)):
        document["losses"] = [
            {"key": str(key), "with": str(cause), "restored": restored} for key, cause, restored in losses
        ]
    if result is not None:
        document["result"] = _result(result)
    return document


def findings(topologies: Iterable[str], findings: Iterable[Finding]) -> dict[str, Any]:
    """The document of doctor."""
    listed = [_finding(finding) for finding in findings]
    return {"format": FORMAT, "command": "doctor", "topologies": list(topologies), "findings": listed}


def trace(traced: Trace) -> dict[str, Any]:
    """The probes of doctor --trace with their steps, and what was not traced."""
    return {"trace": [_trail(one) for one in traced.trails], "untraced": [one._asdict() for one in traced.untraced]}


def _trail(trail: Trail) -> dict[str, Any]:
    ask = trail.ask
    told: dict[str, Any] = {"scope": ask.scope, "key": str(ask.key) if ask.key else None, "from": ask.sender}
    told |= {"to": ask.to, "port": ask.port, "protocol": ask.protocol, "arrived": trail.arrived, "shows": trail.shows}
    return told | {"steps": [_step(back, line, rule) for back, line, rule in trail.steps]}


def _step(back: bool, line: Traced, rule: str) -> dict[str, Any]:
    told: dict[str, Any] = {"scope": line.scope, "answer": back, "family": line.family, "table": line.table}
    told["chain"] = line.chain
    return told | {"by": line.what, "handle": line.handle or None, "rule": rule or None, "verdict": line.verdict}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "scope": finding.scope,
        "topic": finding.topic,
        "key": str(finding.key) if finding.key else None,
        "message": finding.message,
        "hint": finding.hint,
        "commands": list(finding.commands),
        "refuses": False,
    }


def _refusal(problem: Problem) -> dict[str, Any]:
    """A reason why apply would refuse the plan, in the keys of a finding; its place in the file leads the message."""
    place, key = str(problem.origin), problem.key
    what, _, hint = problem.message.partition("; ")
    return {
        "scope": key.scope if key else HOST,
        "topic": "refused",
        "key": str(key) if key else None,
        "message": f"{place}: {what}" if place else what,
        "hint": hint,
        "refuses": True,
    }


def _change(change: Change) -> dict[str, Any]:
    before, after = sides(change)
    return {
        "action": change.action,
        "kind": change.key.kind,
        "key": str(change.key),
        "impact": change.impact,
        **({"disrupts": change.disrupts} if change.disrupts else {}),
        "before": before,
        "after": after,
        "origin": str(change.origin) or None,
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "applied": result.applied,
        "failed": [_failed(step.change, step.failure) for step in result.failed],
        "blocked": [{"key": str(step.change.key), "waits_for": str(step.waits_for)} for step in result.blocked],
        "remaining": [str(change.key) for change in result.remaining],
        "verified": result.verified,
        "rolled_back": result.rolled_back,
        "confirmed": result.confirmed,
        "trouble": result.trouble,
        **({"expectations": proofs(result.proofs)["expectations"]} if result.proofs else {}),
        **undone(result.undone, result.left),
        "seconds": round(result.seconds, 6),
    }


def undone(undone: Iterable[Change], left: Iterable[Failed]) -> dict[str, Any]:
    """After a rollback: changes undone, and changes that failed to be undone with the error."""
    return {
        "undone": [{"key": str(change.key), "action": change.action} for change in undone],
        "not_undone": [_failed(failed.change, failed.failure) for failed in left],
    }


def proofs(proofs: Iterable[Proof]) -> dict[str, Any]:
    """Each expectation and whether it holds."""
    listed = [_proof(one) for one in proofs]
    return {"holds": all(one["holds"] for one in listed), "expectations": listed}


def _proof(proof: Proof) -> dict[str, Any]:
    wanted = proof.expectation
    told = {"from": wanted.scope, "to": wanted.to, "reach": wanted.reach, "reached": proof.reached}
    told |= {"shows": proof.shows, "holds": proof.holds, "origin": str(wanted.origin)}
    return told | {"implied": bool(wanted.because)} | ({"because": wanted.because} if wanted.because else {})


def unprobed(listed: Iterable[Unprobed]) -> list[dict[str, Any]]:
    """What is implied and was not probed."""
    return [{"key": str(one.key), "why": one.why, "origin": str(one.origin)} for one in listed]


def _failed(change: Change, failure: Failure) -> dict[str, Any]:
    return {
        "key": str(change.key),
        "action": change.action,
        "errno": failure.errno,
        "error": str(failure),
        "hint": failures.hint(change, failure),
        "origin": str(change.origin) or None,
    }
