"""What a bridge with STP shows in place of its own timers: those of the root, and a shorter ageing time for a while.

br_fill_info in net/bridge/br_netlink.c shows the values in effect.  A bridge that is not the root uses the root's
(br_record_config_timeout_values in net/bridge/br_stp.c), and a topology change lowers the ageing time to twice the
forward delay (__br_set_topology_change there).  Its own values are then the ones on record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.model.attributes import Table, u8, u64

AGEING_TIME = 30000  # BR_DEFAULT_AGEING_TIME, in centiseconds
_OF_THE_ROOT = ("forward_delay", "hello_time", "max_age")
# Twice BR_MIN_FORWARD_DELAY and BR_MAX_FORWARD_DELAY, with what two roundings to ticks can take away.
_SHORTENED = range(400 - 4, 6000 + 1)

# IFLA_BR_*
EXPLAINS = Table(u64("root_id", 10), u64("bridge_id", 11), u8("topology_change", 14))

Noted = Mapping[str, tuple[Any, Any]]


def corrected(data: Mapping[str, Any], noted: Noted) -> dict[str, Any]:
    """The timers that are not the bridge's own as they are on record; None where they are not."""
    words: dict[str, Any] = {}
    if data.get("root_id") != data.get("bridge_id"):
        words = {word: _recorded(word, noted) for word in _OF_THE_ROOT}
    if data.get("stp") and data.get("topology_change") and data.get("ageing_time") in _SHORTENED:
        words |= {"ageing_time": _recorded("ageing_time", noted), "shortened": True}
    return words


def _recorded(word: str, noted: Noted) -> Any:
    return noted[word][1] if word in noted else None
