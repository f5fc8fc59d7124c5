"""Desired and live objects with their owners, and the changes of a plan."""

from __future__ import annotations

from typing import Any, Literal

from reconciler.model.data import dataclass
from reconciler.model.keys import NO_ORIGIN, Key, Origin

NOBODY = ""  # owner of a live object without a stamp
# Made by the kernel, DHCP, RA or a routing daemon.  It is never changed; a desired object equal to it counts as there.
KERNEL = "<kernel>"
UNKNOWN = "<netrecon>"  # has our protocol number or birth group, but no record says of which topology


@dataclass(frozen=True, slots=True)
class Desired:
    """A desired object, the topology that wants it, and its place in the file."""

    object: Any
    owner: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Live:
    """A live object and its owner: a topology's name, NOBODY, KERNEL or UNKNOWN.

    ``whole`` is False when only a part of it is stamped (one end of a veth).  ``coming``: it does not exist yet; the
    plan makes it, and another topology of the run configures it.
    """

    object: Any
    owner: str
    whole: bool = True
    coming: bool = False


# restore: an object that is not ours, which the kernel deletes because of another change, is made again in the same run
Action = Literal["create", "update", "replace", "delete", "adopt", "restore"]
Impact = Literal["none", "in-place", "disruptive"]


@dataclass(frozen=True, slots=True)
class Change:
    """What a plan does to one object.

    ``before`` is None for a create, ``after`` None for a delete.  ``differs`` names the
    attributes that an update or a replace changes; ``owner`` is the topology, ``owner_before`` the one that the object
    belonged to where that changes.
    ``left`` is the live object as other changes of the plan leave it, None where they leave it as ``before``.
    ``disrupts`` says which traffic a disruptive change stops, resets or sends elsewhere.
    """

    action: Action
    key: Key
    before: Any
    after: Any
    differs: tuple[str, ...]
    impact: Impact
    owner: str
    origin: Origin = NO_ORIGIN  # a deletion has none: the object is in no file any more
    owner_before: str = NOBODY
    left: Any = None
    disrupts: str = ""
