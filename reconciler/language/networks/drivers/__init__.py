"""The network drivers, one file each."""

from __future__ import annotations

from reconciler.language.networks.drivers import bridge, host, null, overlay, remote
from reconciler.language.networks.drivers.driver import Driver

DRIVERS: dict[str, Driver] = {
    one.name: one for one in (bridge.DRIVER, host.DRIVER, null.DRIVER, overlay.DRIVER, remote.DRIVER)
}
PREDEFINED: dict[str, Driver] = {one.predefined: one for one in DRIVERS.values() if one.predefined}
