"""The driver overlay: one network over several hosts; it will lower to a bridge and a VXLAN link."""

from __future__ import annotations

from reconciler.language.networks.drivers.driver import Driver

DRIVER = Driver(
    name="overlay",
    refusal="the driver overlay is not supported by this version, which knows one host only; take bridge",
)
