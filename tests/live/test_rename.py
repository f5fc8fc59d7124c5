"""netrecon rename on the kernel: to the letter, without a lost packet, and whole again after a kill.

NETRECON_RENAMES sets how many there are under traffic; NETRECON_KILLS as in test_crash.py.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from steady_traffic import traffic
from throwaway import sh

from reconciler.cli import main
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.nftables import rename_table

pytestmark = pytest.mark.live
ROOT = pathlib.Path(__file__).parents[2]
RENAMES = int(os.environ.get("NETRECON_RENAMES", "30"))
KILLS = int(os.environ.get("NETRECON_KILLS", "9"))
TOPOLOGY: dict[str, Any] = {
    "bridges": {"br0": {"addresses": ["172.16.0.1/24"]}},
    "veths": {"v0": {"master": "br0", "peer": {"namespace": "web", "name": "eth0", "addresses": ["172.16.0.2/24"]}}},
    "sysctls": {"net.ipv4.ip_forward": 1},
    "port_maps": ["9091:172.16.0.2:80", "9091:172.16.0.2:80/udp"],
    "masquerades": [{"source": "172.16.0.0/24", "except_out": ["br0"]}],
    "isolations": [{"link": "br0"}],
    "networks": {"lan": {"ipv6": True}},
    "sandboxes": {"a": {"endpoints": {"lan": {}}, "publish": ["8080:80"]}},
    "hosts": {"db": "10.0.0.7"},
    "namespaces": {"web": {"routes": [{"to": "default", "via": "172.16.0.1"}], "hosts": {"db": "10.0.0.7"}}},
}
# All that nft can say, in chains and sets of the administrator's own.  What shows a count is behind a match that no
# packet of this host meets: its links send IPv6 of their own accord, to look for neighbours and routers.
ADMINISTRATORS = r"""
table inet netrecon-before {
  counter c1 { packets 11 bytes 222 comment "a counter" }
  quota q1 { over 10 mbytes used 512 kbytes }
  limit l1 { rate 10/second }
  set admin-timed { type ipv4_addr; flags timeout; timeout 1h; comment "timed"
    elements = { 10.0.0.1 timeout 30m expires 12m comment "one", 10.0.0.2 timeout 2h } }
  set admin-intervals { type ipv4_addr; flags interval; auto-merge
    elements = { 0.0.0.0-1.2.3.4, 10.1.0.0/16, 10.2.0.0/16, 10.3.0.5 comment "x", 200.0.0.0-255.255.255.255 } }
  set admin-many { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 80-90, 1.1.1.1 . 53 } }
  set admin-dynamic { type ipv4_addr; flags dynamic,timeout; timeout 10m; size 1000; counter
    elements = { 9.9.9.9 counter packets 3 bytes 30 expires 5m } }
  set admin-six { type ipv6_addr; flags interval; elements = { fd00::/8, 2001:db8::1 } }
  set admin-all { type ipv4_addr; counter;
    elements = { * counter packets 7 bytes 70, 1.2.3.4 counter packets 1 bytes 2 } }
  map admin-ports { type inet_service : ipv4_addr . inet_service; flags interval
    elements = { 80-89 : 10.0.0.1 . 80, 90-99 : 10.0.0.1 . 80 } }
  map admin-verdicts { type inet_service : verdict; elements = { 22 : jump admin-ssh, 23 : drop, 24 : goto admin-ssh } }
  map admin-counters { type inet_service : counter; elements = { 80 : "c1" } }
  chain admin-ssh {
    comment "a chain"
    counter packets 100 bytes 2000 accept comment "a rule"
  }
  chain admin-input {
    type filter hook input priority 10; policy drop
    iifname "lo" udp dport 9 counter packets 1 bytes 1 accept
    ct state { established, related } accept
    tcp dport vmap @admin-verdicts
    tcp dport vmap { 1 : accept, 2-5 : drop, 6 : jump admin-ssh }
    ip saddr @admin-timed counter name c1
    ip saddr @admin-intervals drop
    tcp dport . ip saddr { 80 . 1.1.1.1, 90 . 2.2.2.2-2.2.2.9 } accept
    limit rate over 5/second burst 10 packets drop
    udp dport 9 quota over 1 mbytes used 100 kbytes drop
    udp dport 9 update @admin-dynamic { ip saddr counter }
    meta mark set ip saddr map { 10.0.0.1 : 1, 10.0.0.2 : 2 }
    tcp dport 25 jump { counter packets 4 bytes 44 accept comment "inner"; ip saddr 1.2.3.4 drop; }
    tcp dport 26 goto { log prefix "hello " level info; reject with icmpx port-unreachable; }
    counter name tcp dport map @admin-counters
  }
  chain admin-forward {
    type filter hook forward priority -5; policy accept
    tcp flags syn tcp option maxseg size set rt mtu
    tcp flags syn reset tcp option timestamp
  }
  chain admin-nat {
    type nat hook prerouting priority -101; policy accept
    tcp dport 8081 redirect to :80
    dnat ip to tcp dport map @admin-ports
  }
}
add rule inet netrecon-before admin ip daddr 192.0.2.1 counter packets 5 bytes 6 accept comment "mine"
"""


@pytest.fixture
def before(tmp_path: pathlib.Path) -> str:
    """The file of the topology, applied."""
    file = written(tmp_path, "before")
    assert main.main(["apply", "-q", file]) == 0
    return file


def written(folder: pathlib.Path, name: str, topology: dict[str, Any] = TOPOLOGY) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"version": 1, "name": name, **topology}))
    return str(path)


def stamps() -> dict[str, str]:
    """All that the kernel and the files show of the topology, with what packets and time change left out."""
    spaces = [line.split()[0] for line in sh("ip netns").splitlines()]
    links = "".join(sh(f"{at} ip -o link show") for at in ["", *(f"ip netns exec {one}" for one in sorted(spaces))])
    rules = in_order(re.sub(r"expires \S+|packets \d+ bytes \d+", "", sh("nft list ruleset")))
    files = sh("cat /etc/hosts /etc/netns/*/*")
    records = sh("cd /run/netrecon; for f in *.json; do echo $f; cat $f; done")
    return {"links": links, "rules": rules, "files": files, "records": records}


def in_kernel_and_files(found: dict[str, str]) -> dict[str, str]:
    """Without the records: those of the new name are written before the first change, those of the old one stay."""
    return {part: text for part, text in found.items() if part != "records"}


def in_order(rules: str) -> str:
    """The rules with sorted elements: the kernel draws the order of each set anew."""
    return re.sub(r"\{ ([^{}]*) \}", lambda found: str(sorted(re.split(r",\s+", found[1].strip()))), rules, flags=re.S)


def renamed(found: dict[str, str]) -> dict[str, str]:
    return {part: text.replace("before", "after") for part, text in found.items()}


def listed(name: str) -> str:
    """The table as nft lists it, but for its name and for the time that has passed."""
    text = in_order(re.sub(r"expires \S+", "expires", sh(f"nft list table inet netrecon-{name}")))
    return text.replace(f"n-{name} {{", "")


def test_to_the_letter(before: str, tmp_path: pathlib.Path) -> None:
    rules = tmp_path / "rules.nft"
    rules.write_text(ADMINISTRATORS)
    sh(f"nft -f {rules}")
    table, found = listed("before"), stamps()
    assert main.main(["rename", "-q", "before", "after"]) == 0
    assert listed("after") == table
    assert stamps() == renamed(found)
    assert "expires 11m" in sh("nft list table inet netrecon-after")  # the time that was left, not all of it again
    assert main.main(["rename", "-q", "after", "before"]) == 0
    assert (listed("before"), stamps()) == (table, found)


def test_the_plan_is_empty_then(before: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["rename", "before", "after"]) == 0
    capsys.readouterr()
    assert main.main(["plan", written(tmp_path, "after")]) == 0
    assert "in sync" in capsys.readouterr().out
    sh("ip -n a -6 address flush dev eth0 scope global")
    assert main.main(["check", "-q", written(tmp_path, "after")]) == 2
    assert main.main(["apply", "-q", written(tmp_path, "after")]) == 0
    assert main.main(["rename", "before", "after"]) == 1
    assert main.main(["delete", "-q", written(tmp_path, "after")]) == 0
    assert "netrecon" not in sh("nft list ruleset; ip link; cat /etc/hosts")


def test_running_and_new_flows_go_on(before: str) -> None:
    """Published ports, masquerading, and a chain of the administrator's with policy drop."""
    sh("ip netns add out; ip link add o0 type veth peer name o1 netns out; ip addr add 10.1.1.1/24 dev o0")
    sh("ip link set o0 up; ip -n out addr add 10.1.1.2/24 dev o1; ip -n out link set o1 up")
    accept = "ip protocol { tcp, udp } counter accept"
    sh(
        "nft 'table inet netrecon-before { chain admin-x { type filter hook forward priority -7; policy drop; "
        f"{accept}; }} ; }}'"
    )
    names = ["before", "after"]
    with traffic() as flows:
        flows.serve("web", 80)
        flows.serve("out", 77)
        flows.send("out", "published", ("10.1.1.1", 9091))
        flows.send("host", "published to the host itself", ("10.1.1.1", 9091))
        flows.send("web", "masqueraded", ("10.1.1.2", 77))
        time.sleep(0.5)
        with Kernel() as kernel:
            for _ in range(10 * RENAMES):
                old, new = (f"netrecon-{name}" for name in names)
                assert rename_table.rename(kernel, "host", old, new) is None
                names.reverse()
        for _ in range(RENAMES):
            assert main.main(["rename", "-q", *names]) == 0
            names.reverse()
    assert {name: lost for name, lost in flows.lost.items() if lost} == {}
    assert len(flows.answered) == 12
    assert min(flows.answered.values()) > 100


def test_what_cannot_be_carried_is_refused_by_name(before: str, capsys: pytest.CaptureFixture[str]) -> None:
    counted = "add set inet netrecon-before admin-s { type ipv4_addr; size 9; flags dynamic; }"
    counted += "; add rule inet netrecon-before admin add @admin-s { ip saddr ct count over 3 } drop"
    policy = "{ protocol tcp; l3proto ip; policy = { established : 100 } ; }"
    rules = {
        "add rule inet netrecon-before admin ct count over 3 drop": "rule 1 of chain admin",
        counted: "rule 1 of chain admin",
        f"add ct timeout inet netrecon-before t {policy}": "object t",
    }
    for rule, told in rules.items():
        done = subprocess.run(["nft", rule], capture_output=True, check=False)
        if done.returncode:
            continue  # this kernel lacks it
        found = stamps()
        assert main.main(["rename", "before", "after"]) == 1
        told_so = capsys.readouterr().err
        assert f"nft_table/host/netrecon-before: {told} cannot be carried over: ct " in told_so
        assert stamps() == found
        sh("nft flush chain inet netrecon-before admin")
        sh("nft delete ct timeout inet netrecon-before t 2>/dev/null || true")


@pytest.fixture
def container(host: None) -> Iterator[int]:
    """The process of a container: its network namespace bears no name."""
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_an_end_in_a_container(container: int, tmp_path: pathlib.Path) -> None:
    ends = {"veths": {"v0": {"peer": {"name": "v1"}}}}
    assert main.main(["apply", "-q", written(tmp_path, "before", ends)]) == 0
    sh(f"ip link set v1 netns {container}")
    look = f"nsenter --net=/proc/{container}/ns/net ip link show v1; ip link show v0"
    assert sh(look).count("alias netrecon:before") == 2
    assert main.main(["rename", "before", "after"]) == 0
    assert sh(look).count("alias netrecon:after") == 2


def test_a_host_in_a_container_may_have_a_topology_of_the_same_name(container: int, before: str) -> None:
    inner = f"nsenter --net=/proc/{container}/ns/net"
    sh(f"{inner} ip link add br9 type bridge; {inner} ip link set br9 alias netrecon:before")
    sh(f"{inner} nft add table inet netrecon-before; ip netns add theirs")
    sh("ip -n theirs link add br9 type bridge; ip -n theirs link set br9 alias netrecon:before")
    sh("ip netns exec theirs nft add table inet netrecon-before")
    look = f"{inner} ip -o link show br9; ip -n theirs -o link show br9; {inner} nft list ruleset"
    theirs = sh(look) + sh("ip netns exec theirs nft list ruleset")
    assert main.main(["rename", "before", "after"]) == 0
    assert sh(look) + sh("ip netns exec theirs nft list ruleset") == theirs


# ------------------------------------------------------------------ killed


class Killed(BaseException):
    """As if the process had been killed."""


@pytest.mark.parametrize("then", ["rename", "apply", "rollback"])
def test_killed_between_the_two_transactions(
    then: str, before: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the old table only waits to be deleted; also when the way back is killed there."""
    sh("nft 'table inet netrecon-before { chain admin-x { type filter hook forward priority -7; policy drop; }; }'")
    table, found = listed("before"), stamps()
    monkeypatch.setattr(rename_table, "_wait_for_packets", kill)
    with pytest.raises(Killed):
        main.main(["rename", "-q", "before", "after"])
    assert sh("nft list tables").count("netrecon-") == 2
    assert listed("after") == table
    for name in ("before", "after"):
        assert main.main(["check", "-q", written(tmp_path, name)]) == 2
    if then == "rollback":
        with pytest.raises(Killed):
            main.main(["rollback"])
    monkeypatch.undo()
    words = {"rename": ["rename", "before", "after"], "apply": ["apply", "-q", written(tmp_path, "after")]}
    assert main.main(words.get(then, ["rollback"])) == 0
    if then == "rollback":
        assert (listed("before"), stamps()) == (table, found)
    else:
        assert (listed("after"), stamps()) == (table, renamed(found))
    assert sh("nft list tables").count("netrecon-") == 1


def kill() -> None:
    raise Killed


def test_killed_at_any_moment(before: str, tmp_path: pathlib.Path) -> None:
    found = stamps()
    chance = random.Random(20261128)
    command = [sys.executable, "-m", "reconciler", "rename", "-q", "before", "after"]
    began = time.monotonic()
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    length = time.monotonic() - began
    assert main.main(["rename", "-q", "after", "before"]) == 0
    died = 0
    for number in range(KILLS):
        with subprocess.Popen(command, cwd=ROOT) as process:
            time.sleep(length * chance.uniform(0.4, 1.0))
            process.kill()
        died += process.returncode == -signal.SIGKILL
        now = in_kernel_and_files(stamps())
        same = {
            "before": now == in_kernel_and_files(found),
            "after": now == in_kernel_and_files(renamed(found)),
        }
        for name, whole in same.items():
            assert main.main(["check", "-q", written(tmp_path, name)]) == (0 if whole else 2)
        words = ["rename", "-q", "before", "after"] if number % 2 else ["rollback"]
        left = os.path.exists("/run/netrecon/snapshot")
        assert main.main(words) == (1 if not left and (same["after"] or words == ["rollback"]) else 0)
        if number % 2 or (same["after"] and not left):
            assert stamps() == renamed(found)
            assert main.main(["rename", "-q", "after", "before"]) == 0
        assert stamps() == found, number
    assert died


# ------------------------------------------------------------------ the journal


def test_a_line_at_dev_log(tmp_path: pathlib.Path) -> None:
    """In a /dev of its own, as syslog(3) finds it."""
    sh("mkdir /run/dev; mount --rbind /dev /run/dev; mount -t tmpfs none /dev; ln -s /run/dev/* /dev/")
    file, log = written(tmp_path, "before"), tmp_path / "log"
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('/dev/log')\n"
    code += "print('up', flush=True)\nwhile True: print(s.recv(4096).decode(), flush=True)"
    with log.open("w") as out, subprocess.Popen([sys.executable, "-c", code], stdout=out) as listener:
        while "up" not in log.read_text():
            time.sleep(0.05)
        for words in (["apply", "-q", file], ["check", file], ["rename", "-q", "before", "after"], ["delete", file]):
            command = [sys.executable, "-m", "reconciler", *words]
            environment = {**os.environ, "SUDO_USER": "alice"}
            assert subprocess.run(command, cwd=ROOT, check=False, env=environment).returncode == 0
        time.sleep(0.2)
        listener.kill()
    told = re.findall(r"<29>\w{3} [ \d]\d [\d:]{8} netrecon\[\d+\]: (.*)", log.read_text())
    assert [re.sub(r"\d+ changes", "N changes", line) for line in told] == [
        "apply before by alice: converged, N changes",
        "rename before to after by alice: converged, N changes",
        "delete before by alice: converged, N changes",
    ]
