"""``netrecon import compose``: converts the files of a Docker Compose project to a topology and prints it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reconciler.cli.exit_codes import CHANGES, OK
from reconciler.cli.parsing import Options, Parser

if TYPE_CHECKING:
    from reconciler.language.compose.words import LeftOut
    from reconciler.model.errors import Problem
    from reconciler.run.importing import Imported

_EXTERNAL = re.compile(r"([^=]+)=([a-z][a-z0-9-]{0,30})/([^/]+)")


def options(parser: Parser) -> None:
    parser.intermixed = True

    def add(*names: str, metavar: str, text: str, dest: str | None = None) -> None:
        parser.add_argument(*names, action="append", default=[], metavar=metavar, help=text, dest=dest)

    parser.add_argument("format", choices=("compose",), help="compose: a Docker Compose project")
    text = "Compose files, later ones over earlier ones; - is standard input; without any, those in COMPOSE_FILE"
    parser.add_argument("files", nargs="*", default=[], metavar="FILE", help=text)
    add("-f", "--file", metavar="FILE", text="the same, before the other files", dest="first_files")
    add("--env-file", metavar="FILE", text="variables, instead of the .env beside the first file")
    add("--profile", metavar="NAME", text="take the services of this profile too; '*': of all")
    parser.add_argument("-p", "--project-name", default="", metavar="NAME", help="the project's name")
    parser.add_argument("--strict", action="store_true", help="exit 2 where something of the network has no equivalent")
    text, metavar = "the network of a topology that an external network of the files is", "NAME=TOPOLOGY/NETWORK"
    parser.add_argument("--external", action="append", type=_external, default=[], metavar=metavar, help=text)


def _external(text: str) -> tuple[str, tuple[str, str]]:
    match = _EXTERNAL.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TOPOLOGY/NETWORK, such as proxy=traefik/web")
    return match[1], (match[2], match[3])


def run(options: Options) -> int:
    from reconciler.cli import as_json, as_text, yaml_writer
    from reconciler.language.compose.words import LOST
    from reconciler.run import importing

    files = [*options.first_files, *options.files]
    names = (options.env_file, options.profile, options.project_name)
    imported = importing.compose(importing.Asked(files, *names, dict(options.external)))
    if options.json:
        as_json.write(_document(imported))
    else:
        yaml_writer.print_topologies([imported.topology])
        if not options.quiet:
            as_text.print_problems(sorted({*imported.warnings, *_told(imported.left_out, options.verbose)}))
            if not options.verbose:
                as_text.note(_beside(imported.left_out))
    return CHANGES if options.strict and any(part.weight == LOST for part in imported.left_out) else OK


def _document(imported: Imported) -> dict[str, object]:
    from reconciler.cli import as_json
    from reconciler.language.compose.words import LOST

    rows = zip(as_json.rows(part.problem for part in imported.left_out), imported.left_out, strict=True)
    left_out = [{**row, "network": part.weight == LOST} for row, part in rows]
    listed = {"services": imported.services, "left_out": left_out, "warnings": as_json.rows(imported.warnings)}
    return {"format": 1, "command": "import", "topology": imported.topology, **listed}


def _told(left_out: Sequence[LeftOut], everything: bool) -> list[Problem]:
    from reconciler.language.compose.words import BESIDE

    return [part.problem for part in left_out if everything or part.weight != BESIDE]


def _beside(left_out: Sequence[LeftOut]) -> str:
    """One line for all that is not about the network."""
    from reconciler.language.compose.words import BESIDE

    words = sorted({word for part in left_out if part.weight == BESIDE for word in part.words})
    return f"left out, since not of the network: {', '.join(words)} (-v shows where)" if words else ""
