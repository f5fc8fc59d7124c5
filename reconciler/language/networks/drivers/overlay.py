"""The driver overlay: one network over several hosts, refused by this version."""

from __future__ import annotations

from reconciler.language.networks.drivers.driver import Driver

DRIVER = Driver(
    name="overlay",
    refusal="the driver overlay is not supported by this version, which knows one host only; take bridge",
)
