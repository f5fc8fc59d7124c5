"""Whatever request fails, the host is as it was: every request of a plan of some sixty objects is made to fail."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from big_plan import AFTER, BEFORE
from snapshot import differences, snapshot
from throwaway import sh

from reconciler.cli import main
from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.nftables import nft_tables
from reconciler.kernel.writer import Writer
from reconciler.model.errors import Failure
from reconciler.model.requests import Request
from reconciler.run import converge
from reconciler.safety import rollback

pytestmark = pytest.mark.live

# Things made by hand beside: some in what goes, some in what stays.
BY_HAND = [
    "ip addr add 10.5.0.99/32 dev gone0",
    "ip route add 10.66.0.0/16 via 10.0.0.2 proto static",
    "ip route add 10.68.0.0/16 via 10.5.0.2 proto 186",
    "ip route add 10.67.0.0/16 via 10.0.0.2 proto 186",
    "ip -n kept rule add from 10.0.0.2 lookup 100",
    "ip -n kept route add blackhole 10.44.0.0/16",
    "ip -n gone link add stray type bridge",
    "ip netns exec gone nft add table inet theirs",
    "ip netns exec gone nft 'add chain inet theirs c { type filter hook input priority 0; }'",
    "nft add rule inet netrecon-faults admin tcp dport 22 accept",
    "nft add rule inet netrecon-faults prerouting tcp dport 999 drop",
    "sysctl -qw net.ipv4.conf.gone0.rp_filter=2",
    "ip netns exec gone sysctl -qw net.ipv4.conf.default.rp_filter=1 net.ipv6.conf.default.hop_limit=9",
    "ip netns exec gone sh -c 'for f in /proc/sys/net/ipv4/conf/*/tag; do echo 5 > $f; done'",
]


SETTINGS = "cd /proc/sys/net; grep -s . ipv4/conf/*/* ipv6/conf/*/* | sort"


class Faulty(Writer):
    """The real writer, but the request with the number ``fault`` (from 1) is never sent and comes back refused."""

    count = 0
    fault = 0

    def _deliver(self, destination: Any, requests: list[Request]) -> list[Failure | None]:
        first = Faulty.count + 1
        Faulty.count += len(requests)
        at = Faulty.fault - first
        if not 0 <= at < len(requests):
            return super()._deliver(destination, requests)
        refusal = Failure(12, "made to fail")
        if destination[0] is Writer._transaction:  # one transaction: all of it or nothing
            return [refusal] * len(requests)
        results = super()._deliver(destination, requests[:at]) if at else []
        rest = super()._deliver(destination, requests[at + 1 :]) if requests[at + 1 :] else []
        return [*results, refusal, *rest]


def faulty(kernel: Kernel) -> Faulty:
    return Faulty(kernel, {}, lambda scope, requests: nft_tables.transact(kernel, scope, requests), True)


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Iterator[tuple[str, str]]:
    paths = [tmp_path / "before.yaml", tmp_path / "after.yaml"]
    for path, topology in zip(paths, (BEFORE, AFTER), strict=True):
        path.write_text(json.dumps(topology))
    yield str(paths[0]), str(paths[1])
    Faulty.fault = 0


def settings() -> dict[str, str]:
    """What ip and nft do not show."""
    files = [file for name in ("gone0", "br0") for file in pathlib.Path("/proc/sys/net").glob(f"ipv?/conf/{name}/*")]
    here = {
        str(file): sh(f"cat {file} || true") if file.name == "stable_secret" else file.read_text() for file in files
    }
    spaces = [one for one in ("gone", "kept") if pathlib.Path(f"/run/netns/{one}").exists()]
    return here | {one: sh(f"ip netns exec {one} sh -c '{SETTINGS}'").splitlines() for one in spaces}


def whole() -> dict[str, Any]:
    return snapshot() | settings() | {"records": sh("cat /run/netrecon/*.json")}


def prepared(files: tuple[str, str]) -> dict[str, Any]:
    assert main.main(["apply", "-q", files[0]]) == 0
    for command in BY_HAND:
        sh(command)
    return whole()


def test_every_request_of_an_apply_made_to_fail(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = prepared(files)
    assert main.main(["plan", "--json", files[1]]) == 2
    objects = len(json.loads(capsys.readouterr().out)["changes"])
    assert objects >= 60
    monkeypatch.setattr(converge, "southbound", faulty)
    for number in range(1, 10_000):
        Faulty.count, Faulty.fault = 0, number
        code = main.main(["apply", "--json", files[1]])
        answer = json.loads(capsys.readouterr().out)
        if code == 0:  # there is no request of that number any more
            break
        assert (code, answer["result"]["rolled_back"]) == (3, True), (number, answer["result"])
        assert differences(before, whole()) == [], f"request {number}"
    with capsys.disabled():
        print(f"\n{objects} changes: faults injected {number - 1}, states lost 0")
    assert number > objects


def test_every_request_of_a_delete_made_to_fail(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = prepared(files)
    monkeypatch.setattr(converge, "southbound", faulty)
    for number in range(1, 10_000):
        Faulty.count, Faulty.fault = 0, number
        code = main.main(["delete", "--json", "--force", files[0]])  # routes of others go with their links
        answer = json.loads(capsys.readouterr().out)
        if code == 0:
            break
        assert "result" in answer, answer
        assert (code, answer["result"]["rolled_back"]) == (3, True), (number, answer["result"])
        assert differences(before, whole()) == [], f"request {number}"
    with capsys.disabled():
        print(f"\ndelete: faults injected {number - 1}, states lost 0")
    assert number > 10


def test_what_cannot_be_taken_back_is_named_and_the_next_apply_converges(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(files)
    monkeypatch.setattr(converge, "southbound", faulty)
    monkeypatch.setattr(rollback, "southbound", lambda kernel, parking=False: Refusing(kernel))
    Faulty.count, Faulty.fault = 0, 60
    assert main.main(["apply", "--json", files[1]]) == 4
    result = json.loads(capsys.readouterr().out)["result"]
    assert (result["rolled_back"], result["failed"][0]["error"]) == (False, "made to fail")
    assert {"key", "action", "errno", "error", "hint", "origin"} == set(result["not_undone"][0])
    monkeypatch.undo()
    assert main.main(["apply", "-q", files[1]]) == 0
    assert main.main(["check", files[1]]) == 0


class Refusing:
    """A kernel that takes nothing any more."""

    def __init__(self, _kernel: Kernel) -> None:
        pass

    def send(self, batch: list[list[Request]]) -> list[Failure | None]:
        return [Failure(12, "no memory") for _ in batch]


CONFLICTS = {
    "a link of the name": "ip link add new0 type bridge",
    "the link of an address gone": "ip link del br0",
    "the route's gateway unreachable": "ip -n kept link set eth0 name other0",
}


@pytest.mark.parametrize("command", CONFLICTS.values(), ids=list(CONFLICTS))
def test_a_conflict_made_by_hand_between_plan_and_apply(
    command: str, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(files)
    before = snapshot()
    original = rollback.prepare

    def meddling(kernel: Kernel, planned: Any) -> Any:
        entry = original(kernel, planned)
        sh(command)
        return entry

    monkeypatch.setattr(rollback, "prepare", meddling)
    assert main.main(["apply", "--json", files[1]]) == 3
    result = json.loads(capsys.readouterr().out)["result"]
    assert result["failed"], result
    assert result["failed"][0]["error"]
    found = [line for line in differences(before, snapshot()) if "new0" not in line and "other0" not in line]
    assert found == []


def test_keep_going_applies_what_can_be_applied(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(files)
    monkeypatch.setattr(converge, "southbound", lambda kernel: Stubborn(faulty(kernel)))
    assert main.main(["apply", "--keep-going", "--json", files[1]]) == 4
    result = json.loads(capsys.readouterr().out)["result"]
    assert (result["rolled_back"], result["undone"]) == (False, [])
    assert [one["key"] for one in result["failed"]] == ["bridge/host/new0"]
    assert {one["waits_for"] for one in result["blocked"]} == {"bridge/host/new0"}
    assert "route/host/main/10.8.0.0/16" not in {one["key"] for one in result["blocked"]}
    monkeypatch.undo()
    assert main.main(["apply", "-q", files[1]]) == 0


class Stubborn:
    """Never makes the bridge new0."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def send(self, batch: list[list[Request]]) -> list[Failure | None]:
        refused = [any(("IFLA_IFNAME", "new0") in getattr(one, "attributes", ()) for one in entry) for entry in batch]
        results = iter(self.writer.send([entry for entry, no in zip(batch, refused, strict=True) if not no]))
        return [Failure(12, "no memory") if no else next(results) for no in refused]


def test_what_a_setting_for_all_links_changed_on_others_goes_back_with_it(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sh("ip link add theirs type bridge && ip link add off type bridge")
    sh("sysctl -qw net.ipv4.conf.default.forwarding=1 net.ipv4.conf.theirs.forwarding=1")
    sh("sysctl -qw net.ipv6.conf.off.disable_ipv6=1")
    before = sh(SETTINGS)
    refused = {
        "net.ipv4.ip_forward": 1,
        "net.ipv6.conf.all.disable_ipv6": 1,
        "net.ipv4.tcp_congestion_control": "nosuch",
    }
    file = tmp_path / "case.yaml"
    file.write_text(json.dumps({"version": 1, "name": "case", "sysctls": refused}))
    assert main.main(["apply", "--json", str(file)]) == 3
    assert json.loads(capsys.readouterr().out)["result"]["rolled_back"]
    assert sh(SETTINGS) == before


def test_the_order_of_addresses_and_a_lease_come_back(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sh("ip netns add wire && ip link add eth1 type veth peer name w1 netns wire && ip link set eth1 up")
    sh("ip -n wire link set w1 up && ip addr add 192.0.2.7/24 dev eth1 valid_lft 4000 preferred_lft 3000")
    file = tmp_path / "case.yaml"

    def write(addresses: list[str], **more: Any) -> None:
        data = {"version": 1, "name": "case", "interfaces": {"eth1": {"addresses": addresses, **more}}}
        file.write_text(json.dumps(data | ({"sysctls": {"net.ipv4.tcp_congestion_control": "nosuch"}} if more else {})))

    def there() -> list[str]:
        return [line for line in sh("ip addr show eth1; ip route; ip -6 route").splitlines() if "_lft" not in line]

    write(["10.0.0.20/24", "10.1.0.1/24", "10.0.0.12/24", "2001:db8::1/64", "2001:db8::2/64"])
    assert main.main(["apply", "-q", str(file)]) == 0
    sh("ip route add 10.9.0.0/16 via 10.0.0.9 src 10.0.0.20")
    before = there()
    write(["10.0.0.12/24", "192.0.2.7/24", "10.0.0.20/24", "2001:db8::2/64", "2001:db8::1/64"], mtu=1400)
    assert main.main(["apply", "--json", str(file)]) == 3
    assert json.loads(capsys.readouterr().out)["result"]["rolled_back"]
    assert there() == before
    assert "valid_lft 4000sec" in sh("ip addr show eth1") or "valid_lft 399" in sh("ip addr show eth1")
