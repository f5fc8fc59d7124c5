"""``netrecon doctor``: finds what keeps packets from getting where the files send them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli.exit_codes import CHANGES, OK
from reconciler.cli.parsing import Options, Parser, add_files

if TYPE_CHECKING:
    from reconciler.kernel.namespaces.worker import Kernel
    from reconciler.run import survey, trace


def options(parser: Parser) -> None:
    add_files(parser, "*")
    text = "also send probe packets, and show by which rules of nftables each goes"
    parser.add_argument("--trace", action="store_true", help=text)


def run(options: Options) -> int:
    from reconciler.cli import as_json
    from reconciler.cli import findings as found
    from reconciler.run import host, load, survey

    topologies = load.load(options.files) if options.files else None
    with host.kernel() as kernel:
        examined = survey.examine(kernel, topologies)
        traced = _traced(kernel, examined) if options.trace else None
    findings = [*examined.findings, *(traced.findings if traced else ())]
    if options.json:
        as_json.write(as_json.findings(examined.names, findings) | (as_json.trace(traced) if traced else {}))
    elif findings or not options.quiet:
        found.print_findings(findings, examined.names, options.color)
        if traced:
            found.print_trace(traced, options.color, options.verbose)
    return CHANGES if findings else OK


def _traced(kernel: Kernel, examined: survey.Examined) -> trace.Trace:
    from reconciler.run import trace

    return trace.trace_all(kernel, examined.objects, examined.followed)
