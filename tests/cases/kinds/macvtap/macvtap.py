"""A tap on another link; the length of its queue stands in for a key that nobody may see."""

from __future__ import annotations

from reconciler.kinds.links.link import Port
from reconciler.kinds.links.link_kind import link_kind
from reconciler.model.attributes import Table, u32
from reconciler.model.data import dataclass
from reconciler.model.secret import Secret

DATA = Table(u32("mode", 1), u32("queue", 7, secret=True))  # IFLA_MACVLAN_MODE, IFLA_MACVLAN_BC_QUEUE_LEN


@dataclass(frozen=True, slots=True)
class Macvtap(Port):
    """``mode`` as in linux/if_link.h: 1 private, 2 vepa, 4 bridge."""

    link: str | None = None
    mode: int | None = None
    queue: Secret | None = None


KIND = link_kind(name="macvtap", section="macvtaps", rtnl="macvtap", form=Macvtap, data=DATA, replace_on={"link"})
