"""The driver host: a sandbox that shares the host's network, and so has no namespace."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.language.networks.drivers.driver import Driver
from reconciler.language.networks.model import Sandbox
from reconciler.model.quoting import Path

_WHY = {
    "publish": "it listens on the host's addresses itself; leave publish out",
    "dns": "it reads the host's /etc/resolv.conf; write dns at the top level",
    "hosts": "it reads the host's /etc/hosts; write hosts at the top level",
    "routes": "its routes are the host's; write routes at the top level",
    "sysctls": "its settings are the host's; write sysctls at the top level",
}


def check(sandbox: Sandbox) -> Iterator[tuple[Path, str]]:
    """A problem for each key that has no effect without a namespace."""
    for word, why in _WHY.items():
        if word in sandbox.data:
            yield (word,), f"{sandbox.name} shares the host's network: {why}"


DRIVER = Driver(
    name="host",
    refusal="there is one network of the driver host, and no more: write network: host in the sandbox",
    predefined="host",
    namespace=False,
    check=check,
)
