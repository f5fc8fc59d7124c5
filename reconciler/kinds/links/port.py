"""The attributes of a link as a port of a bridge."""

from __future__ import annotations

from reconciler.model.attributes import Table, bool8, u32

# IFLA_BRPORT_*; birth: the values of a new port (new_nbp() in the kernel's net/bridge/br_if.c).
PORT = Table(
    bool8("hairpin", 4, birth=False),
    bool8("isolated", 33, birth=False),
    bool8("learning", 8, birth=True),
    bool8("flood", 9, birth=True),
    u32("cost", 3),
)
IMPLIED = {word: PORT[word].birth for word in ("isolated", "learning", "flood")}  # and hairpin: see link.hairpin
