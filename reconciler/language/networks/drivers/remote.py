"""The driver remote: a network that a plugin makes."""

from __future__ import annotations

from reconciler.language.networks.drivers.driver import Driver

DRIVER = Driver(
    name="remote",
    refusal="the driver remote is not supported by this version, which calls no plugins; take bridge",
)
