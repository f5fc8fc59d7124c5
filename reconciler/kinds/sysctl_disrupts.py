"""The sysctls whose change stops packets, and which packets.

Sources: Documentation/networking/ip-sysctl.rst, nf_conntrack-sysctl.rst and net/bridge/br_netfilter_hooks.c; the values
that a link has of "all" are those of IN_DEV_ORCONF and IN_DEV_MAXCONF in include/linux/inetdevice.h.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from reconciler.kinds import sysctl_effects
from reconciler.model.data import NamedTuple

Live = Callable[[str], str | None]  # sysctl -> its live value, None where it was not read
_ALL_OF = {"ipv4": "IPv4", "ipv6": "IPv6"}


class _Stop(NamedTuple):
    """``stops`` (before, after) -> whether packets stop; ``words`` say which: {on} is a link, {ip} the family."""

    stops: Callable[[str, str], bool]
    words: str


def disrupts(name: str, before: str, after: str, live: Live) -> str:
    """The traffic that is stopped where a sysctl with the value ``before`` gets the value ``after``."""
    if before == after:
        return ""
    parts = sysctl_effects.split(sysctl_effects.ALL_FORWARDING if name == sysctl_effects.IP_FORWARD else name)
    if parts is None:
        return next((stop.words.format(to=after) for form, stop in _PLAIN if _is(form, name, stop, before, after)), "")
    family, table, link, word = parts
    stop = _OF_LINKS.get((family, table, word)) or _OF_LINKS.get(("", table, word))
    if stop is None or not stop.stops(before, after) or _overruled(*parts, before, after, live):
        return ""
    return stop.words.format(on=_on(family, link, word), ip=_ALL_OF[family], to=after)


def _is(form: str, name: str, stop: _Stop, before: str, after: str) -> bool:
    return re.fullmatch(form, name) is not None and stop.stops(before, after)


def _on(family: str, link: str, word: str) -> str:
    if link == "all":
        return "all links"
    if link == "default":
        return "links that have no value of their own" if family == "ipv4" else "new links"
    return link.replace("/", ".")


def _overruled(family: str, table: str, link: str, word: str, before: str, after: str, live: Live) -> bool:
    """Whether nothing live takes the value: a default is of new links alone, and the value of "all" can decide."""
    if link == "default":
        return table == "conf" and not any(
            cause.endswith(f".default.{word}") for cause, _ in sysctl_effects.causes(f"net.{family}.{table}.x.{word}")
        )
    if family == "ipv6" and word == "forwarding":
        return link != "all"  # a link's own decides on router advertisements alone
    if word == "rp_filter" and link != "all":
        everywhere = live("net.ipv4.conf.all.rp_filter") or "0"
        return _strictness(max(before, everywhere)) >= _strictness(max(after, everywhere))
    if word in _BY_ANY and link != "all":
        return live(f"net.{family}.{table}.all.{word}") == "1"
    return False


def overruling(name: str) -> str:
    """The sysctl of all links whose value decides whether that of a link matters, "" for none."""
    family, table, link, word = sysctl_effects.split(name) or ("", "", "", "")
    decides = family == "ipv4" and link not in ("", "all", "default") and word in {*_BY_ANY, "rp_filter"}
    return f"net.{family}.{table}.all.{word}" if decides else ""


def _strictness(value: str) -> int:
    return {"0": 0, "2": 1, "1": 2}.get(value, 0)


def _off(before: str, after: str) -> bool:
    return before != "0" and after == "0"


def _on_(before: str, after: str) -> bool:
    return before == "0" and after != "0"


def _lower(before: str, after: str) -> bool:
    return before.isdigit() and after.isdigit() and int(after) < int(before)


def _any(_before: str, _after: str) -> bool:
    return True


def _stricter(before: str, after: str) -> bool:
    return _strictness(after) > _strictness(before)


def _shuts(before: str, after: str) -> bool:
    """arp_ignore: from 1 on, for addresses of other links; 8 is for none."""
    return after in ("1", "2", "3", "8") and before != "8" and after > before


# Where "all" or the link's own value is enough (IN_DEV_ORCONF).
_BY_ANY = frozenset({"proxy_arp", "route_localnet", "accept_local", "bc_forwarding", "src_valid_mark"})
_OF_LINKS: Mapping[tuple[str, str, str], _Stop] = MappingProxyType(
    {
        ("ipv4", "conf", "forwarding"): _Stop(_off, "IPv4 forwarding of {on} stops"),
        ("ipv6", "conf", "forwarding"): _Stop(_off, "IPv6 forwarding of {on} stops"),
        ("ipv6", "conf", "force_forwarding"): _Stop(_off, "IPv6 forwarding of {on} stops"),
        ("ipv6", "conf", "disable_ipv6"): _Stop(_on_, "IPv6 of {on} ends"),
        ("ipv4", "conf", "rp_filter"): _Stop(_stricter, "packets by {on} to which answers leave by another link"),
        ("ipv4", "conf", "arp_ignore"): _Stop(_shuts, "ARP on {on} for addresses of other links is not answered"),
        ("ipv4", "conf", "arp_filter"): _Stop(_on_, "ARP on {on} is answered only where answers leave by it"),
        ("ipv4", "conf", "drop_gratuitous_arp"): _Stop(_on_, "announcements by {on} are not heard"),
        ("ipv4", "conf", "drop_unicast_in_l2_multicast"): _Stop(_on_, "unicast in multicast frames by {on}"),
        ("ipv6", "conf", "drop_unicast_in_l2_multicast"): _Stop(_on_, "unicast in multicast frames by {on}"),
        ("ipv6", "conf", "drop_unsolicited_na"): _Stop(_on_, "announcements by {on} are not heard"),
        ("ipv4", "conf", "proxy_arp"): _Stop(_off, "hosts on {on} that reach others by proxy ARP"),
        ("ipv4", "conf", "proxy_arp_pvlan"): _Stop(_off, "hosts on {on} that reach each other by proxy ARP"),
        ("ipv6", "conf", "proxy_ndp"): _Stop(_off, "hosts on {on} that reach others by proxy NDP"),
        ("ipv4", "conf", "route_localnet"): _Stop(_off, "packets from and to 127.0.0.0/8 by {on}"),
        ("ipv4", "conf", "accept_local"): _Stop(_off, "packets by {on} from addresses of the host itself"),
        ("ipv4", "conf", "bc_forwarding"): _Stop(_off, "broadcasts to other subnets by {on}"),
        ("ipv4", "conf", "accept_source_route"): _Stop(_off, "source-routed packets by {on}"),
        ("ipv4", "conf", "disable_policy"): _Stop(_off, "packets by {on} that no IPsec policy allows"),
        ("ipv4", "conf", "disable_xfrm"): _Stop(_any, "IPsec of packets that leave by {on}"),
        ("ipv6", "conf", "disable_policy"): _Stop(_off, "packets by {on} that no IPsec policy allows"),
        ("ipv6", "conf", "seg6_enabled"): _Stop(_off, "segment-routed packets by {on}"),
        ("mpls", "conf", "input"): _Stop(_off, "MPLS packets by {on}"),
        ("ipv6", "conf", "hop_limit"): _Stop(_lower, "IPv6 packets that leave by {on} reach at most {to} hops"),
        ("ipv6", "conf", "mtu"): _Stop(_lower, "IPv6 packets over {to} bytes on {on}"),
        ("ipv6", "conf", "accept_ra"): _Stop(_off, "addresses and routes that routers advertise on {on} expire"),
        ("ipv6", "conf", "accept_ra_defrtr"): _Stop(_off, "default routes that routers advertise on {on} expire"),
        ("ipv6", "conf", "accept_ra_pinfo"): _Stop(_off, "addresses that routers advertise on {on} expire"),
        ("ipv6", "conf", "autoconf"): _Stop(_off, "addresses that routers advertise on {on} expire"),
        ("", "neigh", "mcast_solicit"): _Stop(_off, "neighbours on {on} are not found"),
        ("", "neigh", "gc_thresh3"): _Stop(_lower, "{ip} neighbours beyond {to}"),
    }
)
_PLAIN: tuple[tuple[str, _Stop], ...] = (
    (r"net\.ipv4\.ip_default_ttl", _Stop(_lower, "IPv4 packets reach at most {to} hops")),
    (r"net\.ipv4\.icmp_echo_ignore_all", _Stop(_on_, "ping is not answered")),
    (r"net\.ipv4\.icmp_echo_ignore_broadcasts", _Stop(_on_, "ping of broadcast addresses is not answered")),
    (r"net\.ipv6\.icmp\.echo_ignore_(all|multicast|anycast)", _Stop(_on_, "ping in IPv6 is not answered")),
    (r"net\.ipv4\.ip_nonlocal_bind", _Stop(_off, "new sockets on addresses that the scope does not have")),
    (r"net\.ipv6\.ip_nonlocal_bind", _Stop(_off, "new sockets on addresses that the scope does not have")),
    (r"net\.ipv[46]\.fib_multipath_hash_(policy|fields|seed)", _Stop(_any, "flows over several next hops move")),
    (r"net\.ipv4\.(tcp|udp|raw)_l3mdev_accept", _Stop(_off, "new flows from VRFs to sockets outside of them")),
    (r"net\.bridge\.bridge-nf-call-(arp|ip|ip6)tables", _Stop(_on_, "frames through bridges meet its rules")),
    (r"net\.(netfilter\.)?nf_conntrack_max", _Stop(_lower, "new flows beyond {to} are dropped")),
    (r"net\.netfilter\.nf_conntrack_\w*timeout\w*", _Stop(_lower, "translated flows idle for over {to} s end")),
    (r"net\.netfilter\.nf_conntrack_tcp_(be_liberal|loose)", _Stop(_off, "TCP flows that conntrack cannot follow")),
    (r"net\.mpls\.platform_labels", _Stop(_lower, "MPLS labels from {to} on")),
)
