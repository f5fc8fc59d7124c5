"""The sysctls that stop a session's packets, and where.

Sources: net/ipv4/arp.c and fib_frontend.c (rp_filter), net/ipv6/addrconf.c, ndisc.c and ip6_output.c,
net/core/neighbour.c; tests/cases/sessions.yaml has each with a live session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from reconciler.kinds import sysctl_effects
from reconciler.kinds.course import Course, Passage

_FAR_ENOUGH = 32  # hops: no route in the Internet is longer
Stops = Callable[[str, str, Course, Passage], str]  # (value, link or "all", course, passage) -> why, "" if it does not


def cuts(name: str, value: str, scope: str, course: Course) -> str:
    """Why a session ends when the value is written to the sysctl, "" where it does not."""
    passage = course.through(scope)
    if passage is None or passage.bridged:
        return ""
    if name == "net.ipv4.ip_default_ttl":
        return _few_hops(value, "all", course, passage) if course.family == "ipv4" else ""
    parts = sysctl_effects.split(sysctl_effects.ALL_FORWARDING if name == sysctl_effects.IP_FORWARD else name)
    if parts is None or parts[0] != course.family:
        return ""
    family, table, link, word = parts
    stops = _STOPS.get((family, table, word))
    return stops(value, link.replace("/", "."), course, passage) if stops else ""


def _concerns(link: str, *links: str) -> bool:
    return link == "all" or (bool(link) and link in links)


def _not_forwarded(value: str, link: str, _course: Course, passage: Passage) -> str:
    stops = value == "0" and passage.forwards and _concerns(link, passage.out, passage.into)
    return f"because {passage.scope} would no longer forward" if stops else ""


def _not_forwarded6(value: str, link: str, course: Course, passage: Passage) -> str:
    return _not_forwarded(value, link, course, passage) if link == "all" else ""  # the link's own decides on RA alone


def _off(value: str, link: str, course: Course, passage: Passage) -> str:
    """For a link-local peer; of all others the addresses and routes that go are told."""
    stops = value != "0" and course.peer.startswith("fe80:") and _concerns(link, *passage.links)
    return f"because {passage.out or link} would be without IPv6" if stops else ""


def _crooked(link: str, course: Course, passage: Passage) -> bool:
    """Whether answers leave by another link than the one by which the peer's packets come."""
    own = passage == course.home and course.arrival not in ("", passage.out)
    return own and _concerns(link, course.arrival)


def _strict(value: str, link: str, course: Course, passage: Passage) -> str:
    """The greater of the values of "all" and of the link counts, and 2 is loose."""
    stops = value == "1" and _crooked(link, course, passage) and course.loose <= {link}
    return f"because its packets come by {course.arrival} and answers leave by {passage.out}" if stops else ""


def _ignored(value: str, link: str, course: Course, passage: Passage) -> str:
    """arp_ignore 1 and 2: only for addresses of the link by which it is asked; 8: for none."""
    if value == "8" and _concerns(link, passage.out, passage.into, course.arrival):
        return f"because {link.replace('all', passage.out)} would not answer ARP"
    elsewhere = passage == course.home and course.holder not in ("", course.arrival)
    stops = value in ("1", "2") and elsewhere and _concerns(link, course.arrival)
    return (
        f"because {course.arrival} would not answer ARP for {course.local}, which is on {course.holder}"
        if stops
        else ""
    )


def _few_hops(value: str, link: str, course: Course, passage: Passage) -> str:
    far = passage == course.home and passage.neighbour not in ("", course.peer) and _concerns(link, passage.out)
    stops = far and value.isdigit() and int(value) < _FAR_ENOUGH
    return f"because packets would reach at most {value} hops" if stops else ""


def _unasked(value: str, link: str, _course: Course, passage: Passage) -> str:
    stops = value == "0" and _concerns(link, "default", passage.out, passage.into)
    return f"because {passage.out} could not find its neighbours" if stops else ""


def _unlearned(value: str, link: str, course: Course, passage: Passage) -> str:
    stops = value == "0" and course.learned and passage == course.home and _concerns(link, passage.out)
    return f"because {passage.out} would lose the address or the route that a router advertises" if stops else ""


_STOPS: Mapping[tuple[str, str, str], Stops] = MappingProxyType(
    {
        ("ipv4", "conf", "forwarding"): _not_forwarded,
        ("ipv6", "conf", "forwarding"): _not_forwarded6,
        ("ipv6", "conf", "disable_ipv6"): _off,
        ("ipv4", "conf", "rp_filter"): _strict,
        ("ipv4", "conf", "arp_ignore"): _ignored,
        ("ipv6", "conf", "hop_limit"): _few_hops,
        ("ipv4", "neigh", "mcast_solicit"): _unasked,
        ("ipv6", "neigh", "mcast_solicit"): _unasked,
        ("ipv6", "conf", "accept_ra"): _unlearned,
        ("ipv6", "conf", "accept_ra_defrtr"): _unlearned,
        ("ipv6", "conf", "accept_ra_pinfo"): _unlearned,
        ("ipv6", "conf", "autoconf"): _unlearned,
    }
)
