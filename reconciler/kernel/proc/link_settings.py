"""Reads the settings of links under /proc/sys/net/*/conf/<link>, which the kernel deletes with the link.

A link has some ninety such files, and reading one takes ten microseconds.  A link dump has nearly all of the values in
two arrays.  Links with equal arrays have equal settings: the files of a thousand equal links are read once, and those
of a link that was made again only where its arrays have changed.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Mapping, Sequence

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import decode, reader
from reconciler.model.keys import HOST
from reconciler.model.rows import LinkSettings

ROOT = "/proc/sys/net"
FAMILIES = ("ipv4", "ipv6")
_FOLLOWING = frozenset({"mtu"})  # net.ipv6.conf.<link>.mtu follows the MTU of the link
# Names of the files whose values are in the arrays IFLA_INET_CONF (linux/ip.h, IPV4_DEVCONF_*) and IFLA_INET6_CONF
# (linux/ipv6.h, DEVCONF_*).  A file that is not named here is read for every link.
IN_DUMP: Mapping[str, frozenset[str]] = {
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

Place = tuple[str, str]  # scope, link
Names = Mapping[str, Sequence[str]]  # by family
Values = dict[str, dict[str, str]]  # family -> name -> value, without the families that the link does not have


def read_link_settings(kernel: Kernel, links: Mapping[str, Iterable[str]]) -> list[LinkSettings]:
    """All settings of those of the ``links`` (scope -> names) that exist.  Raises KernelError."""
    arrays = _arrays(kernel, links)
    in_dump, others = _names()
    other_values = _read(kernel, arrays, others)
    models = _models(kernel, arrays, in_dump)
    equal: dict[tuple[bytes, str], list[Place]] = {}
    for place, array in arrays.items():
        if array in models:
            equal.setdefault((array, repr(other_values[place])), []).append(place)
    return [
        LinkSettings(array, _merged(models[array], other_values[places[0]]), tuple(places))
        for (array, _), places in equal.items()
    ]


def _models(kernel: Kernel, arrays: Mapping[Place, bytes], names: Names) -> dict[bytes, Values]:
    """Array -> the values of one link with that array; of another one where the first has just been deleted."""
    models: dict[bytes, Values] = {}
    equal: dict[bytes, list[Place]] = {}
    for place, array in arrays.items():
        equal.setdefault(array, []).append(place)
    while tried := [places.pop() for array, places in equal.items() if places and array not in models]:
        models.update({arrays[place]: values for place, values in _read(kernel, tried, names).items() if values})
    return models


def differing(kernel: Kernel, before: Iterable[LinkSettings]) -> dict[Place, str]:
    """(scope, sysctl) -> the value ``before``, for the settings that have another value now; raises KernelError.

    A link that does not exist any more, or that lost a whole family, is left out.
    """
    settings = {place: group for group in before for place in group.links}
    existing = {HOST, *kernel.namespaces()}
    links: dict[str, list[str]] = {}
    for scope, link in settings:
        if scope in existing:
            links.setdefault(scope, []).append(link)
    arrays = _arrays(kernel, links)
    in_dump, others = _names()
    now = _read(kernel, arrays, others)
    for place, values in _read(kernel, [p for p in arrays if arrays[p] != settings[p].arrays], in_dump).items():
        now[place] = _merged(values, now[place])
    return {
        (scope, f"net.{family}.conf.{link.replace('.', '/')}.{name}"): value
        for (scope, link), values in now.items()
        for family, current in values.items()
        for name, value in settings[scope, link].values.get(family, {}).items()
        if name not in _FOLLOWING and (name in current or name in others.get(family, ())) and current.get(name) != value
    }


def _merged(in_dump: Values, others: Values) -> Values:
    return {family: in_dump.get(family, {}) | others.get(family, {}) for family in {**in_dump, **others}}


def _arrays(kernel: Kernel, links: Mapping[str, Iterable[str]]) -> dict[Place, bytes]:
    """The arrays of each of the links that exists, as one byte string to compare."""
    arrays: dict[Place, bytes] = {}
    for scope in kernel.with_sockets(links):
        wanted = set(links[scope])
        rows = reader.read_links_as(kernel, scope, _conf)
        arrays.update(((scope, name), array) for name, array in rows if name in wanted)
    return arrays


@decode.decoder("link")
def _conf(body: bytes) -> tuple[str, bytes]:
    """Name and arrays: IFLA_INET_CONF (1), IFLA_INET6_CONF (2) and IFLA_INET6_ADDR_GEN_MODE (8)."""
    attrs = decode.attributes(body, 16)
    families = decode.attributes(attrs.get(decode.IFLA_AF_SPEC, b""), 0)
    four = decode.attributes(families.get(socket.AF_INET, b""), 0)
    six = decode.attributes(families.get(socket.AF_INET6, b""), 0)
    name = attrs[decode.IFLA_IFNAME].rstrip(b"\0").decode("utf-8", "surrogateescape")
    return name, b"|".join([four.get(1, b""), six.get(2, b""), six.get(8, b"")])


# ------------------------------------------------------------------ the files


def _names() -> tuple[Names, Names]:
    """The files of this kernel whose values are in the arrays, and the others."""
    in_dump: dict[str, list[str]] = {}
    others: dict[str, list[str]] = {}
    for family in FAMILIES:
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            for name in sorted(os.listdir(f"{ROOT}/{family}/conf/default")):
                (in_dump if name in IN_DUMP[family] else others).setdefault(family, []).append(name)
    return in_dump, others


def _read(kernel: Kernel, places: Iterable[Place], names: Names) -> dict[Place, Values]:
    by_scope: dict[str, list[str]] = {}
    for scope, link in places:
        by_scope.setdefault(scope, []).append(link)
    calls = [(scope, _read_here, (links, names)) for scope, links in by_scope.items()]
    answers = zip(by_scope, kernel.run_each(calls), strict=True)
    return {(scope, link): values for scope, by_link in answers for link, values in by_link.items()}


def _read_here(links: Iterable[str], names: Names) -> dict[str, Values]:
    return {link: _read_link(link, names) for link in links}


def _read_link(link: str, names: Names) -> Values:
    folders = ((family, _folder(family, link, listed)) for family, listed in names.items())
    return {family: values for family, values in folders if values is not None}


def _folder(family: str, link: str, names: Sequence[str]) -> dict[str, str] | None:
    """The values of one link's files; None where IPv6 is off or the link has just been deleted."""
    try:
        folder = os.open(f"{ROOT}/{family}/conf/{link}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return {name: value for name in names if (value := _value(name, folder)) is not None}
    finally:
        os.close(folder)


def _value(name: str, folder: int) -> str | None:
    """The value of one file.  It is opened relative to its folder: by the whole path it would take twice as long."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    try:
        return " ".join(os.read(file, 4096).decode("utf-8", "surrogateescape").split())
    except OSError:  # some files give EIO until they are written (stable_secret)
        return None
    finally:
        os.close(file)
