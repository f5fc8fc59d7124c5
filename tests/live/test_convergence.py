"""A second apply and the read-only commands send nothing, and what is not ours stays as it was."""

from __future__ import annotations

import ctypes
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from snapshot import differences, scopes, snapshot
from throwaway import sh

from reconciler.cli import main

pytestmark = pytest.mark.live
ROOT = pathlib.Path(__file__).parent.parent.parent
TOPOLOGIES = sorted((ROOT / "topologies").glob("*.yaml"))
WIDE = {
    "version": 1,
    "name": "wide",
    "bridges": {"br0": {"mtu": 1400, "addresses": ["10.0.0.1/24", "fd00::1/64"]}},
    "veths": {
        "v0": {"master": "br0", "peer": {"namespace": "test", "name": "eth0", "addresses": ["10.0.0.2/24"]}},
        "v1": {"addresses": ["10.2.0.1/24"], "peer": {"name": "p1"}},
    },
    "interfaces": {"lo": {"addresses": ["10.255.0.1/32"]}},
    "routes": [{"to": "10.9.0.0/16", "via": "10.0.0.2"}, {"to": "10.8.0.0/16", "type": "blackhole"}],
    "sysctls": {"net.ipv4.ip_forward": 1},
    "port_maps": ["9091:10.0.0.2:80", "127.0.0.1:9092:10.0.0.2:80/udp"],
    "masquerades": [{"source": "10.0.0.0/24"}],
    "isolations": [{"link": "br0"}],
    "hosts": {"web": "10.0.0.2"},
    "namespaces": {
        "test": {
            "routes": [{"to": "default", "via": "10.0.0.1"}],
            "sysctls": {"net.ipv4.ip_forward": 1},
            "dns": {"nameservers": ["10.0.0.53"]},
            "port_maps": ["80:10.0.0.9:8080"],
        }
    },
}
DAMAGE = [
    "ip link set br0 mtu 1500",
    "ip addr del 10.0.0.1/24 dev br0",
    "ip -n test route del default",
    "ip -n test link add stray type bridge",
    "ip link set v0 nomaster",
    "sysctl -q net.ipv4.ip_forward=0",
    "nft flush chain inet netrecon-wide prerouting",
    "ip netns exec test nft flush ruleset",
    "echo nameserver 9.9.9.9 > /etc/netns/test/resolv.conf",
]
FOREIGN = [
    "ip link add theirs0 type bridge",
    "ip link add eth0 type veth peer name far0",
    "ip link set eth0 up",
    "ip link set far0 up",
    "ip addr add 10.66.0.1/24 dev eth0",
    "ip addr add 10.255.0.66/32 dev lo",
    "ip route add 10.67.0.0/16 via 10.66.0.9",
    "ip -6 route add blackhole fd66::/32",
    "ip route add blackhole 10.68.0.0/16 table 100",
    "ip rule add from 10.68.0.0/16 lookup 100",
    "nft add table inet theirs",
    "nft 'add chain inet theirs post { type nat hook postrouting priority 100; }'",
    "nft add rule inet theirs post ip saddr 10.66.0.0/24 masquerade",
    "ip netns add foreign",
    "ip -n foreign link add br0 type bridge",
    "ip -n foreign addr add 10.0.0.1/24 dev br0",
    "ip netns exec foreign nft add table inet netrecon",
    "mkdir -p /etc/netns/foreign",
    "echo nameserver 9.9.9.9 > /etc/netns/foreign/resolv.conf",
    "echo 10.66.0.7 theirs >> /etc/hosts",
]
# rtnetlink's messages come in fours of one subject; nf_tables' (subsystem 10 of nfnetlink) one by one.
RTM = {0: "LINK", 1: "ADDR", 2: "ROUTE", 3: "NEIGH", 4: "RULE", 12: "MDB", 17: "NEXTHOP", 18: "NSID"}
NFT = (
    "NEWTABLE GETTABLE DELTABLE NEWCHAIN GETCHAIN DELCHAIN NEWRULE GETRULE DELRULE NEWSET GETSET DELSET "
    "NEWSETELEM GETSETELEM DELSETELEM NEWGEN GETGEN TRACE NEWOBJ GETOBJ DELOBJ GETOBJ_RESET "
    "NEWFLOWTABLE GETFLOWTABLE DELFLOWTABLE"
).split()
FILE_CALLS = "mount,umount2,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir"
WRITES = re.compile(rf"^(?:\d+ +)?(?:{FILE_CALLS.replace(',', '|')})\(|O_WRONLY|O_RDWR|O_CREAT")
DUMP = r"NLM_F_REQUEST\|(?:NLM_F_DUMP|0x300),"  # what changes something asks for an acknowledgement too
HARMLESS = re.compile(r'"/dev/|"/run/netrecon/lock|__pycache__|/proc/self|/proc/thread-self')


def netrecon(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in codes, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def wide(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "wide.yaml"
    path.write_text(json.dumps(WIDE))
    return str(path)


def traced(tmp_path: pathlib.Path, *arguments: str, codes: tuple[int, ...] = (0,)) -> list[str]:
    """The system calls of a real run that could change something."""
    log = tmp_path / "strace"
    calls = f"sendto,sendmsg,open,openat,{FILE_CALLS}"
    command = ["strace", "-f", "-v", "-s", "4096", "-o", str(log), "-e", f"trace={calls}", sys.executable, "-B"]
    # a measured run would write its own file of coverage
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [*command, "-m", "reconciler", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode in codes, done.stdout + done.stderr
    text = re.sub(r"NFNL_SUBSYS_NFTABLES<<8\|", "", log.read_text(errors="replace"))
    text = re.sub(rf"(nlmsg_len=72, nlmsg_type=)0x14[^,]*(, nlmsg_flags={DUMP})", r"\1SOCK_DIAG_BY_FAMILY\2", text)
    lines = re.sub(r"nlmsg_type=(0x[0-9a-f]+)(?: /\*[^*]*\*/)?", named, text).splitlines()
    assert any("RTM_GETLINK" in line for line in lines) or arguments[0] == "validate", "strace decodes no netlink"
    return [line for line in lines if changing(line)]


def changing(line: str) -> bool:
    """Whether a line of strace is a message or a call that changes the network or a file of it."""
    if "sendto(" in line or "sendmsg(" in line:
        return any(not _reads(kind) for kind in re.findall(r"nlmsg_type=([^,} ]+)", line)) or _unknown(line)
    return bool(WRITES.search(line)) and not HARMLESS.search(line) and " = -1 " not in line


def _reads(kind: str) -> bool:
    return kind.startswith(("RTM_GET", "NFT_MSG_GET")) or kind == "SOCK_DIAG_BY_FAMILY"


def named(found: re.Match[str]) -> str:
    """A message's type by name: strace cannot tell the protocol of a socket of another namespace."""
    number = int(found[1], 0)
    if number >= 10 << 8:
        name = f"NFT_MSG_{NFT[number & 255]}" if number >> 8 == 10 and number & 255 < len(NFT) else found[1]
    else:
        subject = RTM.get((number - 16) // 4, str(number)) if number >= 16 else str(number)
        name = f"RTM_{('NEW', 'DEL', 'GET', 'SET')[number % 4]}{subject}"
    return f"nlmsg_type={name}"


def _unknown(line: str) -> bool:
    """A netlink message that strace could not decode counts as a change."""
    return "sa_family=AF_NETLINK" in line and "nlmsg_type" not in line


def test_the_tracer_sees_what_changes(wide: str, tmp_path: pathlib.Path) -> None:
    lines = "\n".join(traced(tmp_path, "apply", "-q", wide))
    for word in ("RTM_NEWLINK", "RTM_NEWADDR", "RTM_NEWROUTE", "NEWTABLE", "mount(", "/etc/netns/test"):
        assert word in lines


def test_a_second_apply_sends_nothing(wide: str, tmp_path: pathlib.Path, changes: Callable[..., Any]) -> None:
    netrecon("apply", "-q", wide)
    before = snapshot()
    assert traced(tmp_path, "apply", "-q", wide) == []
    _result, heard = changes(lambda: netrecon("apply", wide), *scopes())
    assert heard == []
    assert differences(before, snapshot()) == []


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: path.stem)
def test_a_second_apply_of_an_example_sends_nothing(
    topology: pathlib.Path, tmp_path: pathlib.Path, changes: Callable[..., Any]
) -> None:
    sh("ip link add eth0 type veth peer name far0; ip link set eth0 up; ip link set far0 up")
    netrecon("apply", "-q", str(topology))
    assert traced(tmp_path, "apply", "-q", str(topology)) == []
    _result, heard = changes(lambda: netrecon("apply", str(topology)), *scopes())
    assert heard == []


@pytest.mark.parametrize(
    ("arguments", "code"), [(["validate"], 0), (["plan"], 2), (["check"], 2), (["plan", "--adopt", "--json"], 2)]
)
def test_reading_a_drifted_host_sends_nothing(
    wide: str, tmp_path: pathlib.Path, changes: Callable[..., Any], arguments: list[str], code: int
) -> None:
    netrecon("apply", "-q", wide)
    for command in DAMAGE:
        sh(command)
    before = snapshot()
    assert traced(tmp_path, *arguments, wide, codes=(code,)) == []
    _result, heard = changes(lambda: netrecon(*arguments, wide, codes=(code,)), *scopes())
    assert heard == []
    assert differences(before, snapshot()) == []


def test_list_sends_nothing(wide: str, tmp_path: pathlib.Path) -> None:
    netrecon("apply", "-q", wide)
    assert traced(tmp_path, "list") == []


def test_all_the_damage_is_named_and_repaired(wide: str) -> None:
    netrecon("apply", "-q", wide)
    before = snapshot()
    for command in DAMAGE:
        sh(command)
    named = {change["key"] for change in json.loads(netrecon("check", "--json", wide, codes=(2,)))["changes"]}
    assert named >= {
        "bridge/host/br0",
        "address/host/br0/10.0.0.1/24",
        "route/test/main/default",
        "bridge/test/stray",
        "veth/host/v0",
        "sysctl/host/net.ipv4.ip_forward",
        "nft_table/host/netrecon-wide",
        "nft_table/test/netrecon-wide",
        "dns_file/test/resolv.conf",
    }
    netrecon("apply", "-q", wide)
    assert differences(before, snapshot()) == []


def test_foreign_things_survive(wide: str) -> None:
    for command in FOREIGN:
        sh(command)
    before = snapshot()
    netrecon("apply", "-q", wide)
    netrecon("check", wide)
    gone = [line for line in differences(before, snapshot()) if line.startswith("-")]
    assert [line for line in gone if "/etc/hosts" not in line] == []
    assert "10.66.0.7 theirs" in pathlib.Path("/etc/hosts").read_text()
    netrecon("delete", "-q", wide)
    assert differences(before, snapshot()) == []


def test_a_sysctl_set_back_to_its_first_value_leaves_nothing_to_put_back(tmp_path: pathlib.Path) -> None:
    sh("sysctl -q net.ipv4.igmp_max_memberships=33")
    path = tmp_path / "back.yaml"
    for value in (44, 33):
        path.write_text(json.dumps({"version": 1, "name": "back", "sysctls": {"net.ipv4.igmp_max_memberships": value}}))
        netrecon("apply", "-q", str(path))
    netrecon("delete", "-q", str(path))
    assert json.loads(netrecon("list", "--json"))["topologies"] == []


def missing(name: str) -> Any:
    raise OSError(f"{name}: cannot open shared object file")


def of_0_9_8(_name: str) -> Any:
    return SimpleNamespace(nft_ctx_new=None)  # without nft_ctx_add_var, which came with 1.0


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (missing, "libnftables.so.1 is missing: apt install libnftables1\n"),
        (of_0_9_8, "this libnftables is older than 1.0 and crashes on netrecon's maps: install 1.0 or newer\n"),
    ],
)
def test_without_a_fit_libnftables_nothing_is_changed(
    load: Any, said: str, wide: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = ctypes.CDLL
    monkeypatch.setattr(
        ctypes, "CDLL", lambda name, *rest, **more: load(name) if "libnft" in str(name) else real(name, *rest, **more)
    )
    before = snapshot()
    assert main.main(["apply", "-q", wide]) == 1
    assert capsys.readouterr().err == said
    assert differences(before, snapshot()) == []
    assert os.listdir("/run/netrecon") == ["lock"]


def test_a_check_that_finds_nothing_imports_nothing_heavy() -> None:
    """pyroute2 alone takes longer to import than a thousand routes take to read."""
    file = str(ROOT / "topologies/docker-by-hand.yaml")
    assert main.main(["apply", "-q", file]) == 0
    unwanted = (
        *("pyroute2", "nftables", "jsonschema", "deepdiff", "rich", "asyncio", "subprocess", "importlib.metadata"),
        *("pathlib", "secrets", "difflib", "shutil"),
        *(
            "reconciler.cli.as_json",
            "reconciler.cli.as_text",
            "reconciler.language.networks.lower",
            "reconciler.language.networks.model",
        ),
        *(f"reconciler.safety.{name}" for name in ("lockout", "rollback", "snapshot", "ownership")),
        *("reconciler.run.converge", "reconciler.planning.apply", "reconciler.planning.expectations"),
    )
    assert imported(unwanted, "check", file) == {"reconciler.kernel.netlink.reader"}


def test_an_apply_that_goes_well_and_is_silent_imports_nothing_that_tells() -> None:
    file = str(ROOT / "topologies/docker-by-hand.yaml")
    unwanted = (
        "rich",
        "deepdiff",
        "jsonschema",
        "secrets",
        "shutil",
        "reconciler.safety.commit_confirmed.watchdog",
        "reconciler.planning.expectations",
    )
    assert imported(unwanted, "apply", "-q", file) == {"reconciler.kernel.netlink.reader"}


def imported(names: tuple[str, ...], *words: str) -> set[str]:
    """Which of the modules a run that ends with 0 has imported, and the one that reads."""
    code = (
        f"import sys; sys.path += {sys.path!r}; from reconciler.cli.main import main;"
        f"assert main({list(words)!r}) == 0;"
        f"print(*({{'reconciler.kernel.netlink.reader', *{names}}} & {{*sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
