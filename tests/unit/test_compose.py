"""A Docker Compose file becomes a topology; situations are pairs of files in tests/cases/compose.

NAME.yaml is the Compose file, each line of what is left out is in a comment "# left: ..."; "# options: ..." are those
of the command, "# exit: ..." is its exit code where it is not 0.  NAME.expected is what is printed.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from command import Netrecon
from hypothesis import given
from hypothesis import strategies as st
from pretended.seam import Pretended

from reconciler.cli import main, yaml_writer
from reconciler.language import document, schema
from reconciler.language.compose import convert
from reconciler.model.keys import Origin
from reconciler.run import load

CASES = sorted((Path(__file__).parents[1] / "cases" / "compose").glob("*.yaml"))


def remarks(file: Path, word: str) -> list[str]:
    start = f"# {word}: "
    return [line.removeprefix(start) for line in file.read_text().splitlines() if line.startswith(start)]


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_compose_file(file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)  # the host's networks are not asked
    options = " ".join(remarks(file, "options")).split()
    exit_code = int("".join(remarks(file, "exit")) or 0)
    assert main.main(["import", "compose", *options, str(file)]) == exit_code
    out, err = capsys.readouterr()
    assert [line.removeprefix(f"{file}:") for line in err.splitlines()] == remarks(file, "left")
    assert out == file.with_suffix(".expected").read_text()
    (tmp_path / "topology.yaml").write_text(out)
    assert main.main(["validate", str(tmp_path / "topology.yaml")]) == 0, capsys.readouterr()


def test_there_are_cases() -> None:
    assert len(CASES) >= 5


def imported(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main.main(["import", "compose", *words])
    return code, *capsys.readouterr()


def case(name: str) -> str:
    return str(next(file for file in CASES if file.stem == name))


def test_json_has_both(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = imported(capsys, "--json", case("wireguard_with_services_in_its_network"))
    found = json.loads(out)
    assert (code, found["topology"]["version"]) == (0, 1)
    assert found["services"]["prowlarr"] == found["services"]["qbittorrent"] == ["vpn-gluetun"]
    network = {one["path"]: one["network"] for one in found["left_out"]}
    assert network["services.stray.network_mode"]
    assert network["services.prowlarr.ports"]
    assert not network["services.gluetun"]
    assert not network["services.sidecar.ports"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("wordpress_and_its_database", 0),
        ("mailcow_with_fixed_subnets", 0),
        ("what_has_no_equivalent", 2),
        ("pihole_on_the_lan", 2),
    ],
)
def test_strict_counts_what_the_network_lost(name: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    plain = imported(capsys, case(name))
    assert imported(capsys, "--strict", case(name)) == (code, *plain[1:])
    assert imported(capsys, "--strict", "-q", case(name)) == (code, plain[1], "")
    assert imported(capsys, "--strict", "--json", case(name))[0] == code


def test_verbose_tells_where_the_rest_is(capsys: pytest.CaptureFixture[str]) -> None:
    file = case("wordpress_and_its_database")
    _, _, err = imported(capsys, "-v", file)
    assert [line.removeprefix(f"{file}:") for line in err.splitlines()] == [
        "1:1: no equivalent in a topology: volumes",
        "3:3: services.db: no equivalent in a topology: image, volumes, restart, environment, expose",
        "9:3: services.wordpress: no equivalent in a topology: depends_on, image, restart",
    ]


@pytest.mark.parametrize(
    ("external", "message"),
    [
        ("proxy", "'proxy' is not NAME=TOPOLOGY/NETWORK"),
        ("proxy=Edge/web", "is not NAME=TOPOLOGY/NETWORK"),
        ("default=edge/web", "--external default: the project has no external network of that name"),
    ],
)
def test_external_that_cannot_be(external: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = imported(capsys, "--external", external, case("nextcloud_behind_an_external_proxy"))
    assert (code, out) == (1, "")
    assert message in err


EXTERNAL = """name: blog
services: {web: {networks: [front, all]}}
networks: {front: {external: true, name: my_shop_front}, all: {external: true, name: by-hand_all}}
"""


def test_external_network_is_found_in_the_kernel(
    pretended: Pretended, netrecon: Netrecon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop.yaml").write_text("name: my_shop\nservices: {s: {networks: [front]}}\nnetworks: {front: {}}\n")
    shop = json.loads(imported(capsys, "--json", str(tmp_path / "shop.yaml"))[1])["topology"]
    hand = {"name": "by-hand", "networks": {"all": {}}, "sandboxes": {"h": {"endpoints": {"all": {}}}}}
    netrecon("apply", "-q", shop, hand)
    (tmp_path / "compose.yaml").write_text(EXTERNAL)
    code, out, err = imported(capsys, "--strict", "--json", str(tmp_path / "compose.yaml"))
    assert (code, err) == (0, "")
    assert json.loads(out)["topology"]["networks"] == {
        "front": {"external": "my-shop", "bridge": shop["networks"]["front"]["bridge"]},
        "all": {"external": "by-hand"},
    }
    code, out, _ = imported(capsys, "--json", "--external", "front=by-hand/all", str(tmp_path / "compose.yaml"))
    assert json.loads(out)["topology"]["networks"]["front"] == {"external": "by-hand", "name": "all"}


OWN = """name: my_shop
services: {a: {networks: [same, front]}, b: {networks: {other: {aliases: [c]}}}}
networks:
  front: {}
  wide: {name: lan}
  same: {external: true, name: my_shop_front}
  other: {external: true, name: lan}
"""


@pytest.mark.parametrize(
    ("chosen", "code", "networks"),
    [
        ([], 0, {"front": {"bridge": "br_my-s-Eo0WAVv"}, "wide": {"bridge": "br-my-shop-wide"}}),
        (["--external", "other=my-shop/front"], 0, {"front": {"bridge": "br_my-s-Eo0WAVv"}}),
        (
            ["--external", "other=my-shop/gone"],
            2,
            {"front": {"bridge": "br_my-s-Eo0WAVv"}, "other": {"bridge": "br_my-s-Y9p55g2"}},
        ),
    ],
)
def test_external_network_of_the_files_themselves(
    chosen: list[str], code: int, networks: Any, pretended: Pretended, tmp_path: Path, capsys: Any
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(OWN)
    done, out, _ = imported(capsys, "--strict", "--json", *chosen, str(file))
    assert done == code
    topology = json.loads(out)["topology"]
    assert topology["networks"] == networks
    assert list(topology["sandboxes"]["my-shop-a"]["endpoints"]) == ["front"]


def test_external_network_is_not_what_an_earlier_apply_made(
    pretended: Pretended, netrecon: Netrecon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("name: a\nservices: {s: {networks: [n]}}\nnetworks: {n: {external: true, name: a_n}}\n")
    code, first, _ = imported(capsys, "--strict", "--json", str(file))
    netrecon("apply", "-q", json.loads(first)["topology"])
    assert (code, first) == (2, imported(capsys, "--strict", "--json", str(file))[1])


def test_two_networks_may_be_the_external_one(
    pretended: Pretended, netrecon: Netrecon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(OWN)
    hand = {"name": "my", "networks": {"shop_front": {}}, "sandboxes": {"h": {"endpoints": {"shop_front": {}}}}}
    netrecon("apply", "-q", hand)
    code, _, err = imported(capsys, "--strict", str(file))
    assert code == 2
    assert "my_shop_front may be any of my-shop/front, my/shop_front" in err


@pytest.mark.parametrize(("held", "asked"), [("my-shop", "my_shop"), ("1shop", "p1shop"), ("p-" * 30, "p_" * 30)])
def test_two_projects_of_one_topology(
    held: str, asked: str, pretended: Pretended, netrecon: Netrecon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services: {web: {scale: 2}, db: {container_name: mydb}}\n")
    words = ["--json", str(file), "-p"]
    topology = json.loads(imported(capsys, *words, held)[1])["topology"]
    netrecon("apply", "-q", topology)
    assert imported(capsys, *words, held)[0] == 0
    code, out, _ = imported(capsys, *words, asked)
    assert code == 1
    said = json.loads(out)["errors"][0]["message"]
    assert f"the topology {topology['name']} is held on this host for the project {held}, not {asked}" in said


def test_a_project_without_a_name_is_called_as_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "1_My.Shop"
    folder.mkdir()
    (folder / "compose.yaml").write_text("services: {a: {}}\n")
    assert main.main(["import", "compose", str(folder / "compose.yaml")]) == 0
    assert "name: p1-myshop\n" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "- a\n", "services: [\n", "services: {a: {}, a: {}}\n"])
def test_what_is_no_compose_file(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text(text)
    assert main.main(["import", "compose", str(tmp_path / "compose.yaml")]) == 1
    assert "compose.yaml" in capsys.readouterr().err


leaf = st.one_of(st.none(), st.booleans(), st.integers(0, 99999), st.sampled_from(["80:80", "${A:-1}", "$B", "a=b"]))
keys = st.sampled_from("a networks driver config subnet target published gw_priority aliases".split())
value = st.recursive(
    leaf, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3))
)
service = st.dictionaries(
    st.sampled_from(
        "networks network_mode ports dns dns_search extra_hosts mac_address sysctls container_name image".split()
    ),
    value,
)
network = st.dictionaries(st.sampled_from("driver driver_opts ipam internal enable_ipv6 external name".split()), value)


@dataclasses.dataclass
class Project:
    """What was read of a Compose file, without its places."""

    data: Any
    name: str = "shop"

    def place(self, path: tuple[str | int, ...]) -> Origin:
        return Origin("compose.yaml", path=path)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "host", "-x"]), st.one_of(value, service)),
    st.dictionaries(st.sampled_from(["default", "n", "none"]), st.one_of(value, network)),
)
def test_nothing_makes_it_fail(services: Any, networks: Any) -> None:
    topology = convert.convert(Project({"services": services, "networks": networks})).topology
    again = document.load("topology.yaml", yaml_writer.text(topology).encode())
    assert again.data == topology
    schema.check(again)


# ------------------------------------------------------------------ what Compose accepts is a valid topology

MODES = ["", "", "", "none", "host", "bridge", "shop_a", "service:a", "service:b", "service:host", "container:x"]
EXTRA = ["h:host-gateway", "h:10.0.0.1", "i=::1", "a:b", "-:1.1.1.1"]
NAMES = ["a", "b", "c", "host", "none", "_n", "shop"]
addresses = st.sampled_from(
    ["10.0.0.1", "10.0.0.2", "10.0.0.0", "10.0.0.255", "10.0.1.9", "fd00::1", "fd00::5", "::1", "x", "172.17.0.3"]
)
prefixes = st.sampled_from(
    ["10.0.0.0/24", "10.0.0.7/24", "10.0.0.128/25", "10.0.0.0/30", "fd00::/64", "fd00::/60", "x"]
)
port_texts = st.sampled_from(
    "80 80:80 8080:80/udp 127.0.0.1:80:80 0.0.0.0:80:80 [::]:80:80 [::1]:80:80 :81:80 0:80 80-82:80-82 80-90:80".split()
)
settings_ = st.sampled_from(
    [f"net.ipv6.conf.{link}.disable_ipv6={on}" for link in ("all", "eth0", "eth1", "default") for on in (0, 1)]
    + ["net.ipv4.conf.eth0.log_martians=1", "net.ipv4.conf.eth7.log_martians=1", "net.ipv4.ip_forward=1"]
)
an_endpoint = st.fixed_dictionaries(
    {},
    optional={
        "ipv4_address": addresses,
        "ipv6_address": addresses,
        "aliases": st.lists(st.sampled_from([*NAMES, "*"]), max_size=2),
        "mac_address": st.sampled_from(["02:00:00:00:00:01", "01-00-00-00-00-01", "x"]),
        "interface_name": st.sampled_from(["eth0", "eth1", "up0", "lo", "all", "much-too-long-a-name"]),
        "gw_priority": st.integers(-1, 2),
        "priority": st.integers(-1, 2),
    },
)
a_service = st.fixed_dictionaries(
    {},
    optional={
        "networks": st.dictionaries(st.sampled_from(NAMES), an_endpoint, max_size=3),
        "network_mode": st.sampled_from(
            ["", "", "", "none", "host", "bridge", "shop_a", *(f"service:{n}" for n in NAMES)]
        ),
        "ports": st.lists(port_texts, max_size=3),
        "extra_hosts": st.lists(
            st.sampled_from(["h:host-gateway", "h:10.0.0.1", "i=::1", "a:b", "-:1.1.1.1"]), max_size=2
        ),
        "links": st.lists(st.sampled_from([*NAMES, *(f"{name}:l" for name in NAMES)]), max_size=2),
        "sysctls": st.lists(settings_, max_size=2),
        "hostname": st.sampled_from(["h", "h.example", "-"]),
        "domainname": st.sampled_from(["example", "-"]),
        "container_name": st.sampled_from([*NAMES, "shop-a"]),
        "mac_address": st.sampled_from(["02:00:00:00:00:01", "x"]),
        "scale": st.integers(0, 2),
        "dns": st.lists(addresses, max_size=4),
    },
)
aux = st.dictionaries(st.just("x"), addresses)
a_config = st.fixed_dictionaries(
    {},
    optional={
        "subnet": prefixes,
        "gateway": addresses,
        "ip_range": prefixes,
        "aux_addresses": st.dictionaries(st.just("x"), addresses),
    },
)
a_network = st.fixed_dictionaries(
    {},
    optional={
        "enable_ipv6": st.booleans(),
        "enable_ipv4": st.booleans(),
        "internal": st.booleans(),
        "external": st.booleans(),
        "name": st.sampled_from(["host", "none", "bridge", "shop_a", "a"]),
        "driver": st.sampled_from(["bridge", "macvlan", "overlay"]),
        "ipam": st.fixed_dictionaries({}, optional={"config": st.lists(a_config, max_size=3)}),
        "driver_opts": st.dictionaries(
            st.sampled_from(
                [
                    "com.docker.network.bridge.name",
                    "com.docker.network.bridge.host_binding_ipv4",
                    "com.docker.network.container_iface_prefix",
                    "com.docker.network.driver.mtu",
                ]
            ),
            st.sampled_from(["br0", "127.0.0.1", "eth", "1400", "1000", "x"]),
        ),
    },
)


@given(
    st.dictionaries(st.sampled_from(NAMES), a_service, max_size=4),
    st.fixed_dictionaries(dict.fromkeys(NAMES, a_network)),
)
def test_the_topology_is_valid(services: Any, networks: Any) -> None:
    """Whatever the network of a project is like: what Docker refuses is left out, too."""
    for entry in services.values():
        if entry.get("network_mode"):
            entry.pop("networks", None)
    topology = convert.convert(Project({"services": services, "networks": networks})).topology
    written = document.load("topology.yaml", yaml_writer.text(topology).encode())
    assert schema.check(written) == []
    load.build(load.lower([written]))
