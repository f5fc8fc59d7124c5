"""The kernel's configuration in the words of ip and nft: what must be the same before and after."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from throwaway import ip_json, sh

LINK = ("ifname", "mtu", "address", "ifalias", "master", "txqlen", "link_type")
ROUTE = ("dst", "type", "gateway", "dev", "metric", "table", "protocol", "scope", "prefsrc", "nexthops", "metrics")
RULE = ("priority", "src", "dst", "iif", "oif", "fwmark", "table", "action", "protocol")


def scopes() -> list[str]:
    """The host and every named namespace."""
    return ["host", *sorted(os.listdir("/run/netns"))]


def snapshot() -> dict[str, Any]:
    """Links, addresses, routes, rules, nft rulesets and DNS files of all namespaces, without what ages by itself."""
    found: dict[str, Any] = {scope: _scope(scope) for scope in scopes()}
    for path in [*pathlib.Path("/etc/netns").glob("*/*"), pathlib.Path("/etc/hosts"), pathlib.Path("/etc/resolv.conf")]:
        found[str(path)] = path.read_text() if path.exists() else None
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What two snapshots do not share, as lines."""
    lines = [{line for name, part in one.items() for line in _lines(name, part)} for one in (before, after)]
    return [
        *(f"- {line}" for line in sorted(lines[0] - lines[1])),
        *(f"+ {line}" for line in sorted(lines[1] - lines[0])),
    ]


def _lines(name: str, part: Any) -> list[str]:
    if isinstance(part, dict):
        return [f"{name} {word}: {line}" for word, lines in part.items() for line in lines]
    return [f"{name}: {part}"]


def _scope(scope: str) -> dict[str, list[str]]:
    where, inside = ("", "") if scope == "host" else (f"-n {scope} ", f"ip netns exec {scope} ")
    links = ip_json(f"{where}-d addr show")
    routes = [*ip_json(f"{where}-N route show table all"), *ip_json(f"{where}-N -6 route show table all")]
    rules = [*ip_json(f"{where}-N rule show"), *ip_json(f"{where}-N -6 rule show")]
    return {
        "links": sorted(_link(one) for one in links),
        "addresses": sorted(
            _address(one, address)
            for one in links
            for address in one.get("addr_info", ())
            if not str(address.get("local")).startswith("fe80:")  # they come with the carrier
        ),
        "routes": sorted(_words(one, ROUTE) for one in routes if not _automatic(one)),
        "rules": sorted(_words(one, RULE) for one in rules),
        "nft": sh(f"{inside}nft -s list ruleset").splitlines(),
    }


def _words(row: dict[str, Any], words: tuple[str, ...]) -> str:
    return json.dumps({word: row[word] for word in words if word in row}, sort_keys=True)


def _link(row: dict[str, Any]) -> str:
    info = row.get("linkinfo", {})
    more = {word: info.get("info_slave_data", {}).get(word) for word in ("hairpin", "isolated", "learning", "flood")}
    data = {word: info.get("info_data", {}).get(word) for word in ("stp_state", "ageing_time", "priority")}
    return _words({**row, "link_type": [info.get("info_kind"), more, data, "UP" in row["flags"]]}, LINK)


def _address(link: dict[str, Any], row: dict[str, Any]) -> str:
    return f"{link['ifname']} {row.get('local')}/{row['prefixlen']} {row['scope']}"


def _automatic(row: dict[str, Any]) -> bool:
    """Routes that come and go with the carrier, and what the kernel itself keeps in the local table, a little late."""
    if (row.get("table"), row.get("protocol")) == ("255", "2"):
        return True
    return str(row.get("dst", "")).startswith(("fe80:", "ff00:")) or str(row.get("dst", "")) == "multicast"
