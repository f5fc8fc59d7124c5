"""``python -m reconciler`` is ``netrecon``."""

from reconciler.cli.main import run

run()
