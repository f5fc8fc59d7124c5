"""The driver null: a sandbox whose namespace has only loopback."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.language.networks.drivers.driver import Driver
from reconciler.language.networks.model import Sandbox
from reconciler.model.quoting import Path


def check(sandbox: Sandbox) -> Iterator[tuple[Path, str]]:
    """A problem where the sandbox publishes ports, which nobody can reach."""
    if "publish" in sandbox.data:
        yield ("publish",), f"{sandbox.name} is on no network, so that nothing gets in; leave publish out"


DRIVER = Driver(
    name="null",
    refusal="there is one network of the driver null, and no more: write network: none in the sandbox",
    predefined="none",
    check=check,
)
