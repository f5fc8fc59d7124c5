"""``netrecon schema``: prints the JSON Schema of the language, or writes it to a file for editors."""

from __future__ import annotations

import json

from reconciler.cli.exit_codes import OK
from reconciler.cli.parsing import Options, Parser
from reconciler.model.errors import NetreconError


def options(parser: Parser) -> None:
    parser.add_argument("--output", metavar="FILE", help="write it to FILE, for the modeline of an editor")


def run(options: Options) -> int:
    from reconciler.cli import as_json
    from reconciler.language import schema

    if options.output is None:
        as_json.write(schema.bundle())
        return OK
    try:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(json.dumps(schema.bundle(), indent=1) + "\n")
    except OSError as error:
        raise NetreconError(f"schema: {options.output} cannot be written: {error.strerror}") from None
    return OK
