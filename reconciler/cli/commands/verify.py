"""``netrecon verify``: sends packets to check what the files expect or imply."""

from __future__ import annotations

from reconciler.cli.exit_codes import CHANGES, OK
from reconciler.cli.parsing import Options, Parser, add_files


def options(parser: Parser) -> None:
    add_files(parser)


def run(options: Options) -> int:
    from reconciler.cli import as_json, proofs
    from reconciler.planning.intent import to_have
    from reconciler.run import host, load, look
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
        proofs.print_proofs(proved, [one.name for one in intent.topologies], options.color)
    return OK if holds else CHANGES
