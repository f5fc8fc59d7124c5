"""Any file of all sections together: what the plan shows is what apply does, and a second one has nothing to do.

From any such file to any other, on a host with an uplink, a tunnel and a resolv.conf of its own.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
from typing import Any

import pytest
import throwaway
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.cli import main

pytestmark = pytest.mark.live
SETTINGS = settings(
    max_examples=int(os.environ.get("NETRECON_EXAMPLES", "12")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
# a veth in place of each link of the machine; the routes of an uplink, of a tunnel, and a foreign one in a pool
HOST = """
for one in up0 up1 tun0; do ip link add $one type veth peer name far-$one; ip link set $one up; ip link set far-$one up
done
ip addr add 192.0.2.1/24 dev up0; ip -6 addr add 2001:db8::1/64 dev up0 nodad; ip link set tun0 mtu 1420
ip route add default via 192.0.2.9; ip -6 route add default via 2001:db8::9
ip route add 172.18.0.0/16 dev tun0
echo 'nameserver 127.0.0.53' > /etc/resolv.conf; echo 'search host.example' >> /etc/resolv.conf
"""
BRIDGE_NF = tuple(f"net.bridge.bridge-nf-call-{name}" for name in ("iptables", "ip6tables"))
MTUS = st.sampled_from([1500, 1400, 1300])
Data = dict[str, Any]


def some(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Data]:
    """Any of the parts, in any combination."""
    return st.fixed_dictionaries({}, optional=parts)


# ------------------------------------------------------------------ level two

NETWORK = some(
    subnets=st.none(),
    internal=st.booleans(),
    icc=st.booleans(),
    masquerade=st.booleans(),
    mtu=MTUS,
    ipv6=st.booleans(),
)


def publish(tag: int) -> st.SearchStrategy[list[str]]:
    fixed = [f"{8000 + tag}:80", f"127.0.0.1:{8100 + tag}:81", f"{9000 + 9 * tag}-{9003 + 9 * tag}:82"]
    return st.lists(
        st.sampled_from(["80", "81/udp", f"{5300 + 9 * tag}-{5301 + 9 * tag}:53-54/udp", *fixed]), unique=True
    )


@st.composite
def level_two(draw: st.DrawFn, tag: int) -> Data:
    networks: Data = {}
    for number in sorted(draw(st.sets(st.integers(0, 2)))):
        entry = draw(NETWORK)
        if "subnets" in entry:
            four, six = f"10.{60 + tag}.{number}.0/24", f"fd00:{60 + tag}:{number}::/64"
            entry["subnets"] = draw(st.sampled_from([[four], [six], [four, six]]))
        networks[f"n{number}{tag}"] = entry
    open_ones = sorted(name for name, entry in networks.items() if not entry.get("internal"))
    for entry in networks.values():
        allowed = draw(st.sampled_from([None, *open_ones]))
        if allowed and networks[allowed] is not entry and not entry.get("internal"):
            entry["allow"] = [allowed]
    sandboxes: Data = {}
    for number in sorted(draw(st.sets(st.integers(0, 2)))) if networks else ():
        joined = draw(st.lists(st.sampled_from(sorted(networks)), min_size=1, unique=True))
        box: Data = {"endpoints": {name: {} for name in joined}}
        if any(not networks[name].get("internal") for name in joined) and number == 0:
            ports = draw(publish(tag))
            four = all("." in (networks[name].get("subnets") or ["."])[0] for name in joined)
            box["publish"] = [port for port in ports if four or "." not in port]
        box |= draw(
            some(
                dns=some(nameservers=st.just(["10.0.0.99"]), search=st.just(["box.example"])),
                hosts=st.just({"db": "10.0.0.7"}),
                sysctls=st.just({"net.ipv4.conf.all.rp_filter": 0}),
            )
        )
        sandboxes[f"s{number}{tag}"] = box
    return {word: value for word, value in (("networks", networks), ("sandboxes", sandboxes)) if value}


# ------------------------------------------------------------------ level one


@st.composite
def level_one(draw: st.DrawFn, tag: int) -> Data:
    """What only one file of a run may declare is in the file with tag 0."""
    sysctls = some(
        **{BRIDGE_NF[0]: st.integers(0, 1), BRIDGE_NF[1]: st.integers(0, 1), "net.ipv4.ip_default_ttl": st.just(63)}
    )
    uplinks = some(
        up0=some(mtu=MTUS),
        up1=some(mtu=MTUS, addresses=st.just(["198.51.100.1/24"])),
        tun0=some(mtu=MTUS, addresses=st.sampled_from([["172.17.0.9/16"], ["10.200.0.1/32"]])),
    )
    data = draw(
        some(
            dns=some(nameservers=st.sampled_from([["10.0.0.53"], ["127.0.0.1"]]), search=st.just(["lab.example"])),
            hosts=st.just({"gate": "10.0.0.9"}),
            sysctls=sysctls,
            interfaces=uplinks,
            bridges=some(lan0=some(mtu=MTUS, stp=st.just(True), addresses=st.just(["10.9.0.1/24"]))),
            port_maps=st.lists(st.sampled_from(["7000:10.9.0.2:80", "7001-7003:10.9.0.2:81-83/udp"]), unique=True),
        )
        if tag == 0
        else some()
    )
    bridge, links = data.get("bridges", {}).get("lan0"), data.setdefault("interfaces", {})
    if bridge is not None and draw(st.booleans()):
        links["up1"] = {"master": "lan0", **{word: v for word, v in links.get("up1", {}).items() if word == "mtu"}}
    if bridge is not None and draw(st.booleans()):
        data["veths"] = {
            "w0": {"master": "lan0", "peer": {"namespace": "red", "name": "eth0", "addresses": ["10.9.0.2/24"]}}
        }
        data["namespaces"] = {"red": {"dns": {"nameservers": ["10.0.0.53"]}}}
    ways = ["198.51.100.9"] * ("198.51.100.1/24" in links.get("up1", {}).get("addresses", ()))
    ways += ["10.9.0.7"] * bool(bridge and bridge.get("addresses"))
    for to in draw(
        st.lists(st.sampled_from(["0.0.0.0/1", "128.0.0.0/1", "172.31.0.0/16", "10.70.0.0/16"]), unique=True)
    ):
        if ways:
            route = {"to": to, "via": draw(st.sampled_from(ways))} | draw(some(mtu=st.just(1350)))
            data.setdefault("routes", []).append(route)
    if not data["interfaces"]:
        del data["interfaces"]
    return data


def file(tag: int) -> st.SearchStrategy[Data]:
    parts = st.tuples(level_one(tag), level_two(tag))
    return parts.map(lambda two: {"version": 1, "name": f"any{tag}", **two[0], **two[1]})


RUNS = st.tuples(file(0)) | st.tuples(file(0), file(1)) | st.tuples(file(1), file(0))


# ------------------------------------------------------------------ the runs


@SETTINGS
@given(first=RUNS, second=RUNS)
def test_one_apply_is_enough(first: tuple[Data, ...], second: tuple[Data, ...]) -> None:
    with throwaway.host():
        throwaway.sh(HOST)
        applied(first)
        applied(second)


def test_one_file_lets_its_table_go_while_the_other_makes_one() -> None:
    network = {"networks": {"web": {"subnets": ["10.61.0.0/24"]}}}
    applied(({"version": 1, "name": "a", "port_maps": ["8080:10.9.0.2:80"]}, {"version": 1, "name": "b"}))
    applied(({"version": 1, "name": "a"}, {"version": 1, "name": "b", **network}))


def applied(run: tuple[Data, ...]) -> None:
    """Apply the files; the plan that was shown has been all, and there is nothing left to do."""
    shown, names = json.dumps(run), []
    for data in run:
        path = pathlib.Path(f"/run/private/{data['name']}.yaml")
        path.write_text(json.dumps(data))
        names.append(str(path))
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        assert main.main(["apply", "--json", *names]) == 0, shown
    document = json.loads(told.getvalue())
    done = document["result"]["applied"] if document["changes"] else 0
    assert done == len(document["changes"]), shown
    assert main.main(["plan", *names]) == 0, shown
