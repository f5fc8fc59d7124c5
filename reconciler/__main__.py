"""``python -m reconciler`` is ``netrecon``."""

from reconciler.cli import run

run()
