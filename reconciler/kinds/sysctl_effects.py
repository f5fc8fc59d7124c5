"""The sysctls that the kernel changes by itself when another one is written.

Sources: net/ipv4/devinet.c, net/ipv6/addrconf.c and net/core/neighbour.c; a live test compares this with the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

# These always exist; sysctls under net.netfilter and net.bridge exist only with their kernel module.
BUILT_IN = ("net.ipv4.", "net.ipv6.", "net.core.")
IP_FORWARD = "net.ipv4.ip_forward"  # the same value as net.ipv4.conf.all.forwarding
ALL_FORWARDING = "net.ipv4.conf.all.forwarding"
# A write to conf.all is copied to every link, and to conf.default except for force_forwarding.
_FROM_ALL = {
    "ipv4": frozenset({"forwarding"}),
    "ipv6": frozenset(
        {"forwarding", "disable_ipv6", "addr_gen_mode", "ignore_routes_with_linkdown", "force_forwarding"}
    ),
}
_LINKS_ALONE = frozenset({"force_forwarding"})
# In IPv4 a write to conf.default is copied to the links on which nobody has set it, except for these.
_OWN_DEFAULT = frozenset(
    "forwarding mc_forwarding disable_xfrm disable_policy promote_secondaries route_localnet "
    "drop_unicast_in_l2_multicast".split()
)
# While one of these is on, packets get where only the rules of our tables keep them out.
_OPENING = frozenset(
    "ip_forward forwarding force_forwarding route_localnet proxy_arp proxy_arp_pvlan proxy_ndp".split()
)
_STABLE_PRIVACY = "2"  # addr_gen_mode after stable_secret is written

Left = Callable[[str], str]  # the value written to one sysctl -> the value that the other one has then


def split(key: str) -> tuple[str, str, str, str] | None:
    """(family, conf or neigh, link, name) of a sysctl that each link has, else None; link may be all or default."""
    parts = key.split(".")
    if len(parts) != 5 or parts[2] not in ("conf", "neigh"):
        return None
    return parts[1], parts[2], parts[3], parts[4]


def link_of(key: str) -> str:
    """The link that a sysctl belongs to, "" for none: LINK of net.ipv4.conf.LINK.forwarding."""
    parts = split(key)
    return parts[2].replace("/", ".") if parts is not None and parts[2] not in ("all", "default") else ""


def other_name(key: str) -> str:
    """The other name of the same setting, "" for none."""
    return {IP_FORWARD: ALL_FORWARDING, ALL_FORWARDING: IP_FORWARD}.get(key, "")


def opens(key: str) -> bool:
    """Whether the setting lets packets pass that our rules may have to stop."""
    return key.rpartition(".")[2] in _OPENING


def of_neighbours(key: str) -> bool:
    """Whether it is a link's setting of the neighbour table."""
    return key.split(".")[2:3] == ["neigh"] and bool(link_of(key))


def like_newborn(key: str) -> str:
    """The sysctl that shows, in a new namespace, the value that a new one has.

    Only the first namespace has net.ipv4.neigh.default; of a link's own values those of ``lo`` show the default.
    """
    return key.replace(f".neigh.{key.split('.')[3]}.", ".neigh.lo.") if of_neighbours(key) else key


def level(key: str) -> int:
    """0 for a sysctl of all links or of no link, 1 for a default of new links, 2 for one of a single link."""
    parts = split(key)
    if parts is None or parts[2] == "all":
        return 0
    return 1 if parts[2] == "default" else 2


def of_new_links(key: str) -> bool:
    """Whether the sysctl sets a value of links that are created later."""
    parts = split(key)
    return key == IP_FORWARD or (parts is not None and parts[2] in ("all", "default"))


def route_localnet(link: str) -> str:
    """The sysctl that lets packets from and to 127.0.0.0/8 pass a link."""
    return f"net.ipv4.conf.{link.replace('.', '/')}.route_localnet"


def accept_dad(link: str) -> str:
    """The sysctl that turns duplicate address detection of a link on and off."""
    return f"net.ipv6.conf.{link.replace('.', '/')}.accept_dad"


def default_of(key: str) -> str:
    """The sysctl that a new link takes its value from, "" for none; mtu is the link's own."""
    parts = split(key)
    if parts is None or parts[2] in ("all", "default") or parts[3] == "mtu":
        return ""
    family, table, _, name = parts
    return f"net.{family}.{table}.default.{name}"


def causes(key: str) -> Iterator[tuple[str, Left]]:
    """The sysctls that change this one when they are written, each with its effect; in the order of their levels."""
    if key == ALL_FORWARDING:
        yield IP_FORWARD, _same
    elif key == "net.ipv4.conf.all.accept_redirects":
        yield IP_FORWARD, _opposite
        yield ALL_FORWARDING, _opposite
    parts = split(key)
    if parts is not None and parts[2] != "all":
        yield from _from_above(*parts)


def _from_above(family: str, table: str, link: str, name: str) -> Iterator[tuple[str, Left]]:
    start = f"net.{family}.{table}"
    if table == "conf" and name in _FROM_ALL.get(family, ()) and not (link == "default" and name in _LINKS_ALONE):
        if family == "ipv4":
            yield IP_FORWARD, _same
        yield f"{start}.all.{name}", _same
    if link == "default":
        return
    if table == "neigh" or (family == "ipv4" and name not in _OWN_DEFAULT):
        yield f"{start}.default.{name}", _same
    elif (family, name) == ("ipv6", "addr_gen_mode"):
        yield f"{start}.default.stable_secret", _stable
        yield f"{start}.{link}.stable_secret", _stable


def _same(value: str) -> str:
    return value


def _opposite(value: str) -> str:
    return "1" if value == "0" else "0"


def _stable(_value: str) -> str:
    return _STABLE_PRIVACY


def reached(key: str, links: Iterable[str]) -> Iterator[str]:
    """The sysctls that may change when ``key`` is written, in a scope with these links."""
    parts = split(ALL_FORWARDING if key == IP_FORWARD else key)
    if parts is None:
        return
    family, table, _, name = parts
    names = (name, "addr_gen_mode") if name == "stable_secret" else (name,)
    places = ["default", *(link.replace(".", "/") for link in links)]
    candidates = [f"net.{family}.{table}.{place}.{one}" for place in places for one in names]
    candidates += ["net.ipv4.conf.all.accept_redirects", ALL_FORWARDING]
    yield from (one for one in candidates if one != key and any(cause == key for cause, _ in causes(one)))
