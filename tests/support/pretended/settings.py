"""Sysctls of a namespace: a link's are born from ``default``, and some change others."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pretended.space import Space

BASE = {
    "net.core.somaxconn": "4096",
    "net.ipv4.ip_forward": "0",
    "net.ipv4.icmp_echo_ignore_all": "0",
    "net.ipv4.ip_default_ttl": "64",
    "net.ipv4.tcp_syncookies": "1",
    "net.ipv4.igmp_max_memberships": "20",
    "net.ipv4.ip_local_port_range": "32768 60999",
    "net.ipv4.ip_local_reserved_ports": "",
    "net.ipv4.ping_group_range": "1 0",
    "net.ipv4.ip_nonlocal_bind": "0",
    "net.ipv6.bindv6only": "0",
}
LINK = {
    4: dict.fromkeys(
        "accept_local accept_source_route arp_accept arp_announce arp_filter arp_ignore arp_notify forwarding "
        "ignore_routes_with_linkdown log_martians promote_secondaries proxy_arp route_localnet rp_filter tag".split(),
        "0",
    )
    | dict.fromkeys("accept_redirects secure_redirects send_redirects shared_media".split(), "1"),
    6: dict.fromkeys(
        "accept_source_route addr_gen_mode disable_ipv6 forwarding ignore_routes_with_linkdown keep_addr_on_down "
        "optimistic_dad proxy_ndp use_tempaddr".split(),
        "0",
    )
    | dict.fromkeys("accept_dad accept_ra accept_redirects autoconf dad_transmits".split(), "1")
    | {"hop_limit": "64", "mtu": "1280"},
}
# What is copied from conf.all into every link and conf.default; what IPv4 does not copy from conf.default into links.
FROM_ALL = {4: ("forwarding",), 6: ("forwarding", "disable_ipv6", "addr_gen_mode", "ignore_routes_with_linkdown")}
OWN_DEFAULT = ("forwarding", "promote_secondaries", "route_localnet")
TEXTS = ("net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ping_group_range")


def key_of(family: int, link: str, name: str) -> str:
    return f"net.ipv{family}.conf.{link.replace('.', '/')}.{name}"


of_link = key_of


def of_namespace() -> dict[str, str]:
    """What a new namespace has; its links add theirs."""
    found = dict(BASE)
    for family, names in LINK.items():
        for link in ("all", "default"):
            found.update({key_of(family, link, name): value for name, value in names.items()})
    found["net.ipv4.conf.all.accept_redirects"] = "1"
    return found


def born(space: Space, family: int, link: str, mtu: int) -> None:
    """A link's settings are copies of the default ones."""
    for name in LINK[family]:
        space.settings[key_of(family, link, name)] = space.settings[key_of(family, "default", name)]
    if family == 6:
        space.settings[key_of(6, link, "mtu")] = str(mtu)


def keep(space: Space, link: str) -> None:
    """A link that was given an IPv4 address does not follow conf.default any more (ipv4_devconf_setall)."""
    space.written |= {key_of(4, link, name) for name in LINK[4]}


def gone(space: Space, family: int, link: str) -> None:
    for name in LINK[family]:
        space.settings.pop(key_of(family, link, name), None)
        space.written.discard(key_of(family, link, name))


def write(space: Space, key: str, value: str) -> None:
    """Write one value and what follows of it within the settings; links' addresses are links.py's."""
    from pretended.space import Refused

    if key not in space.settings:
        raise Refused(errno.ENOENT, f"the kernel has no sysctl {key} here")
    if key not in TEXTS and not value.lstrip("-").isdecimal():
        raise Refused(errno.EINVAL, f"{key} does not take the value {value!r}")
    before = space.settings[key]
    space.settings[key] = value
    if key == "net.ipv4.ip_forward":
        key = "net.ipv4.conf.all.forwarding"
        before, space.settings[key] = space.settings[key], value
    parts = key.split(".")
    if len(parts) == 5 and parts[2] == "conf":
        _follow(space, int(parts[1][-1]), parts[3], parts[4], value, before)


def _follow(space: Space, family: int, link: str, name: str, value: str, before: str) -> None:
    if link not in ("all", "default"):
        space.written.add(key_of(family, link, name))
        return
    if link == "all" and name in FROM_ALL[family] and value != before:
        for one in ("default", *links(space)):
            _put(space, family, one, name, value)
        if family == 4:
            space.settings["net.ipv4.ip_forward"] = value
            space.settings[key_of(4, "all", "accept_redirects")] = str(int(value == "0"))
    if link == "default" and family == 4 and name not in OWN_DEFAULT:  # devinet_copy_dflt_conf; IPv6 has no such thing
        for one in links(space):
            if key_of(4, one, name) not in space.written:
                _put(space, 4, one, name, value)


def _put(space: Space, family: int, link: str, name: str, value: str) -> None:
    if key_of(family, link, name) in space.settings:
        space.settings[key_of(family, link, name)] = value


def links(space: Space) -> list[str]:
    return [row.name for row in space.links.values()]
