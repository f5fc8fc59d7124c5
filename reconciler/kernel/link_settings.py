"""The IP settings of links under /proc/sys, which go with them: what a newborn link would have otherwise.

A link has some ninety small files, and to read one takes ten microseconds; but a dump of the links tells nearly all of
them in two arrays.  Links with equal arrays have equal settings: of a thousand alike the files are read once.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from reconciler.kernel import decode, reader
from reconciler.kernel.namespaces import Kernel

ROOT = "/proc/sys/net"
FAMILIES = ("ipv4", "ipv6")
_FOLLOWING = frozenset({"mtu"})  # the link's own, as IPv6 sees it
# What the arrays IFLA_INET_CONF (linux/ip.h, IPV4_DEVCONF_*) and IFLA_INET6_CONF (linux/ipv6.h, DEVCONF_*) tell, by
# the names of the files.  A file that is not named here is read of every link.
TOLD: Mapping[str, frozenset[str]] = {
    "ipv4": frozenset(
        "accept_local accept_redirects accept_source_route arp_accept arp_announce arp_evict_nocarrier arp_filter "
        "arp_ignore arp_notify bc_forwarding bootp_relay disable_policy disable_xfrm drop_gratuitous_arp "
        "drop_unicast_in_l2_multicast force_igmp_version forwarding igmpv2_unsolicited_report_interval "
        "igmpv3_unsolicited_report_interval ignore_routes_with_linkdown log_martians mc_forwarding medium_id "
        "promote_secondaries proxy_arp proxy_arp_pvlan route_localnet rp_filter secure_redirects send_redirects "
        "shared_media src_valid_mark tag".split()
    ),
    "ipv6": frozenset(
        "accept_dad accept_ra accept_ra_defrtr accept_ra_from_local accept_ra_min_hop_limit accept_ra_min_lft "
        "accept_ra_mtu accept_ra_pinfo accept_ra_rt_info_max_plen accept_ra_rt_info_min_plen accept_ra_rtr_pref "
        "accept_redirects accept_source_route accept_untracked_na addr_gen_mode autoconf dad_transmits disable_ipv6 "
        "disable_policy drop_unicast_in_l2_multicast drop_unsolicited_na enhanced_dad force_forwarding "
        "force_mld_version force_tllao forwarding hop_limit ignore_routes_with_linkdown ioam6_enabled ioam6_id "
        "ioam6_id_wide keep_addr_on_down max_addresses max_desync_factor mc_forwarding "
        "mldv1_unsolicited_report_interval mldv2_unsolicited_report_interval mtu ndisc_evict_nocarrier ndisc_notify "
        "ndisc_tclass optimistic_dad proxy_ndp ra_defrtr_metric regen_max_retry router_probe_interval "
        "router_solicitation_delay router_solicitation_interval router_solicitation_max_interval "
        "router_solicitations rpl_seg_enabled seg6_enabled seg6_require_hmac suppress_frag_ndisc temp_prefered_lft "
        "temp_valid_lft use_oif_addrs_only use_optimistic use_tempaddr".split()
    ),
}

Values = dict[tuple[str, str], str]  # (family, name) -> value


class _Read(NamedTuple):
    """What was read in one scope: a newborn link's values, and of each link asked for those of its files."""

    newborn: Values
    links: dict[str, Values]


def read_link_settings(kernel: Kernel, links: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], str]:
    """(scope, sysctl) -> value of the settings of links (by scope) that a newborn one would not have.

    A new link starts with those of ``conf/default``.  Raises KernelError.
    """
    alike = {(scope, link): arrays for scope, names in links.items() for link, arrays in _arrays(kernel, scope, names)}
    first: dict[bytes, tuple[str, str]] = {}
    for place, arrays in alike.items():
        first.setdefault(arrays, place)
    whole = set(first.values())
    calls = []
    for scope, names in links.items():
        asked = {link: (scope, link) in whole or (scope, link) not in alike for link in names}
        calls.append((scope, _read_here, (asked,)))
    found = dict(zip(links, kernel.run_each(calls), strict=True))
    return {
        (scope, f"net.{family}.conf.{link.replace('.', '/')}.{name}"): value
        for scope, link, values in _complete(found, alike, first)
        for (family, name), value in values.items()
        if value != found[scope].newborn.get((family, name)) and name not in _FOLLOWING
    }


def _complete(
    found: Mapping[str, _Read], alike: Mapping[tuple[str, str], bytes], first: Mapping[bytes, tuple[str, str]]
) -> Iterator[tuple[str, str, Values]]:
    for scope, read in found.items():
        for link, values in read.links.items():
            arrays = alike.get((scope, link))
            if arrays is None:
                yield scope, link, values
            else:
                where, model = first[arrays]
                told = {key: value for key, value in found[where].links[model].items() if key[1] in TOLD[key[0]]}
                yield scope, link, told | values


def _arrays(kernel: Kernel, scope: str, links: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    wanted = set(links)
    return ((name, arrays) for name, arrays in reader.read_links_as(kernel, scope, _conf) if name in wanted)


@decode.decoder("link")
def _conf(body: bytes) -> tuple[str, bytes]:
    """The name; IFLA_INET_CONF (1) of AF_INET, IFLA_INET6_CONF (2) and IFLA_INET6_ADDR_GEN_MODE (8) of AF_INET6."""
    found = decode.attributes(body, 16)
    families = decode.attributes(found.get(decode.IFLA_AF_SPEC, b""), 0)
    four = decode.attributes(families.get(socket.AF_INET, b""), 0)
    six = decode.attributes(families.get(socket.AF_INET6, b""), 0)
    name = found[decode.IFLA_IFNAME].rstrip(b"\0").decode("utf-8", "surrogateescape")
    return name, b"|".join([four.get(1, b""), six.get(2, b""), six.get(8, b"")])


# ------------------------------------------------------------------ in the namespace


def _read_here(asked: Mapping[str, bool]) -> _Read:
    """``asked``: link -> whether all of its files are to be read, or only those that no array tells."""
    newborn: Values = {}
    links: dict[str, Values] = {link: {} for link in asked}
    for family in FAMILIES:
        newborn |= _folder(family, "default", everything=True)
        for link, everything in asked.items():
            links[link] |= _folder(family, link, everything)
    return _Read(newborn, links)


def _folder(family: str, link: str, everything: bool) -> Values:
    try:
        folder = os.open(f"{ROOT}/{family}/conf/{link}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # IPv6 is off, or the link has just gone
        return {}
    try:
        names = [name for name in os.listdir(folder) if everything or name not in TOLD[family]]
        pairs = (((family, name), _value(name, folder)) for name in names)
        return {key: value for key, value in pairs if value is not None}
    finally:
        os.close(folder)


def _value(name: str, folder: int) -> Any:
    """Relative to its folder: to walk the whole path would take twice as long."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    try:
        return " ".join(os.read(file, 4096).decode("utf-8", "surrogateescape").split())
    except OSError:  # some answer EIO until they were set
        return None
    finally:
        os.close(file)
