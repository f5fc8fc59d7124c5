"""``netrecon schema``: prints the JSON Schema of the language."""

from __future__ import annotations

from reconciler.cli.exit_codes import OK
from reconciler.cli.parsing import Options, Parser


def options(_parser: Parser) -> None:
    """No options of its own."""


def run(options: Options) -> int:
    from reconciler.cli import as_json
    from reconciler.language import schema

    as_json.write(schema.bundle())
    return OK
