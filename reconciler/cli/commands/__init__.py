"""The commands: a module each, with ``options(parser)`` to add its options and ``run(options)`` to get its exit code.

Only the module of the command that runs is imported, and it imports what it needs when it runs: importing everything
takes longer than most commands.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

from reconciler.model.data import NamedTuple


class Command(NamedTuple):
    """``module`` is its module in this package, ``help`` one line for people."""

    module: str
    help: str


COMMANDS: Final = {
    "validate": Command("validate", "check files without looking at the kernel"),
    "lower": Command("lower", "print the files with networks and sandboxes turned into bridges, veths and so on"),
    "import": Command("import_file", "convert a file of another program to a topology and print it"),
    "plan": Command("plan", "show what apply would do (exit 2: there is something to do)"),
    "rehearse": Command("rehearse", "apply the files in an empty throwaway network; needs no root"),
    "apply": Command("apply", "make the kernel match the files"),
    "check": Command("check", "silent when in sync, exit 2 on drift"),
    "delete": Command("delete", "delete what the topology owns"),
    "rename": Command("rename", "give a topology that the kernel holds another name, without touching traffic"),
    "doctor": Command(
        "doctor", "find what keeps packets from getting where the files send them (exit 2: something does)"
    ),
    "verify": Command(
        "verify",
        "send packets to check what the files expect or, without that, imply (exit 2: something does not hold)",
    ),
    "confirm": Command("confirm", "keep what apply --confirm-within has applied"),
    "rollback": Command("rollback", "undo an apply that waits for confirmation, or that was killed"),
    "list": Command("list_held", "list the topologies that have objects in the kernel"),
    "show": Command("show", "show what the kernel holds: networks, links, addresses, routes, ports, NAT"),
    "exec": Command("exec_command", "run a command in a namespace, with its resolv.conf and hosts"),
    "schema": Command("schema", "print the JSON Schema of the language"),
}


def module(name: str) -> ModuleType:
    """The module of the command with this name."""
    return importlib.import_module(f"{__name__}.{COMMANDS[name].module}")
