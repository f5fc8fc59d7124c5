"""Objects with their owners, and what a plan does to them."""

from __future__ import annotations

from typing import Any, Literal

from reconciler.model.data import dataclass
from reconciler.model.keys import NO_ORIGIN, Key, Origin

NOBODY = ""  # owner of a live object that bears no stamp
KERNEL = "<kernel>"  # made by the kernel, DHCP, RA or a routing daemon: never touched, but it may satisfy
UNKNOWN = "<netrecon>"  # bears our protocol number, but which topology's is not known any more


@dataclass(frozen=True, slots=True)
class Desired:
    """A desired object, the topology that wants it, and where it is written."""

    object: Any
    owner: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Live:
    """A live object and its owner: a topology's name, NOBODY, KERNEL or UNKNOWN.

    ``whole`` is False when the stamp is on a part of it only (one end of a veth).
    """

    object: Any
    owner: str
    whole: bool = True


# restore: what is not ours and goes along with another change is put back in the same run
Action = Literal["create", "update", "replace", "delete", "adopt", "restore"]
Impact = Literal["none", "in-place", "disruptive"]


@dataclass(frozen=True, slots=True)
class Change:
    """One object's way from live to desired.

    ``before`` is None for a create, ``after`` None for a delete.  ``differs`` names the
    attributes that an update or a replace changes; ``owner`` is the topology.
    """

    action: Action
    key: Key
    before: Any
    after: Any
    differs: tuple[str, ...]
    impact: Impact
    owner: str
    origin: Origin = NO_ORIGIN  # of what the files do not name: a deletion
