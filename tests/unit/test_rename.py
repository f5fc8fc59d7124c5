"""netrecon rename on a pretended kernel: nothing but the name changes; refused or killed anywhere, it ends whole."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from pretended.picture import differences
from pretended.seam import Pretended, prepared_situation
from situations import CASES, Situation, name_of, read

from reconciler.model.errors import Failure, KernelError
from reconciler.model.requests import Request
from reconciler.safety import records, undo_log
from reconciler.safety.commit_confirmed import confirmation

NEW = "newname"
APPLIED = [
    path
    for path in CASES
    if (case := read(path)).get("plan") is not None
    and not case.get("delete")
    and not isinstance(case.get("wanted", case.get("given")), list)  # of several topologies
]
SHOP: dict[str, Any] = {
    "bridges": {"br0": {"addresses": ["172.16.0.1/24"]}},
    "veths": {"v0": {"master": "br0", "peer": {"namespace": "web", "name": "eth0", "addresses": ["172.16.0.2/24"]}}},
    "dns": {"nameservers": ["10.0.0.1"]},
    "hosts": {"db": "10.0.0.7"},
    "sysctls": {"net.ipv4.ip_forward": 1},
    "port_maps": ["9091:172.16.0.2:80", "40000:172.16.0.2:81"],
    "isolations": [{"link": "br0"}],
    "networks": {"lan": {"ipv6": True}, "two": {}},
    "sandboxes": {
        "a": {"endpoints": {"lan": {}}, "publish": ["80"], "hosts": {"x": "10.0.0.9"}},
        "b": {"endpoints": {"lan": {}, "two": {}}},
    },
    "namespaces": {
        "web": {"dns": {"nameservers": ["10.0.0.53"]}, "port_maps": ["99:172.16.0.1:80"], "hosts": {"y": "10.0.0.8"}}
    },
}


class Killed(BaseException):
    """As if the process had been killed."""


@pytest.fixture
def shop(pretended: Pretended, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Situation:
    """The rich topology, applied."""
    situation = Situation({"given": SHOP}, tmp_path, capsys, pretended.sh, pretended.picture)
    (pretended.etc / "hosts").write_text("127.0.0.1 localhost\r\n# mine\n")
    situation.prepare()
    return situation


def named(situation: Situation, name: str, topology: dict[str, Any]) -> str:
    return situation.written(name, {**topology, "name": name})


def as_before(pretended: Pretended) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that an apply can change, and all records, with the old name in place of the new one."""
    records = {name: json.loads(text) for name, text in pretended.records().items() if name.endswith(".json")}
    picture: dict[str, Any] = renamed_back(pretended.picture())
    plain: dict[str, Any] = renamed_back(records)
    return picture, plain


def renamed_back(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(NEW, "case")
    if isinstance(value, dict):
        return {renamed_back(key): renamed_back(part) for key, part in value.items()}
    return type(value)(map(renamed_back, value)) if type(value) in (list, tuple, set, frozenset) else value


def same(one: tuple[dict[str, Any], dict[str, Any]], other: tuple[dict[str, Any], dict[str, Any]]) -> bool:
    return differences(one[0], other[0]) == [] and one[1] == other[1]


@pytest.mark.parametrize("path", APPLIED, ids=name_of)
def test_only_the_name_changes(
    path: pathlib.Path, pretended: Pretended, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = read(path)
    situation, file = prepared_situation(case, tmp_path, capsys, pretended)
    code, out, err = situation.run("apply", "-q", *situation.options, file)
    assert code == 0, out + err
    before = as_before(pretended)
    wanted = json.loads(pathlib.Path(file).read_text())
    old = wanted["name"]
    code, out, err = situation.run("rename", "-q", old, NEW)
    if "holds no topology" in err:  # it declares nothing of its own
        assert code == 1
        return
    assert (code, out + err) == (0, "")
    if old == "case":
        assert same(before, as_before(pretended))
    renamed = situation.written("renamed", {**wanted, "name": NEW})
    sent = len(pretended.sent)
    code, out, err = situation.run("apply", *situation.options, renamed)
    assert (code, pretended.sent[sent:]) == (0, []), out + err
    code, out, err = situation.run("rename", "-q", old, NEW)
    assert code == 1
    assert f"holds no topology {old}" in err


def faults(pretended: Pretended, situation: Situation, *words: str) -> Iterator[tuple[int, str, str, Request]]:
    """The command's ending, with each of its requests refused in turn."""
    for number in range(1, 1000):
        at, refused = len(pretended.sent) + number, []

        def refuse(sent: int, request: Request, at: int = at, refused: list[Request] = refused) -> Failure | None:
            if sent != at:
                return None
            refused.append(request)
            return Failure(errno.EPERM, "made to fail")

        pretended.fault = refuse
        code, out, err = situation.run(*words)
        pretended.fault = lambda _number, _request: None
        if not refused:
            return
        yield code, out, err, refused[0]


def test_each_request_refused(shop: Situation, pretended: Pretended) -> None:
    before, number = as_before(pretended), 0
    for code, out, err, refused in faults(pretended, shop, "rename", "--json", "case", NEW):
        number += 1
        told = json.loads(out)
        assert (code, told["result"]["rolled_back"]) == (3, True), f"{refused} {out} {err}"
        assert told["result"]["failed"][0]["error"] == "made to fail"
        assert same(before, as_before(pretended)), refused
    assert number > 15
    assert same(before, as_before(pretended))  # the last one has renamed it
    assert shop.run("plan", "-q", named(shop, NEW, SHOP))[0] == 0


def killed(pretended: Pretended, situation: Situation, *words: str) -> Iterator[int]:
    """Yields after the command was killed at each of its requests, and then as it was before."""
    saved = pretended.save()
    for number in range(1, 1000):
        pretended.restore(saved)
        at = len(pretended.sent) + number

        def kill(sent: int, _request: Request, at: int = at) -> Failure | None:
            if sent == at:
                raise Killed
            return None

        pretended.fault = kill
        try:
            situation.run(*words)
            return
        except Killed:
            pass
        finally:
            pretended.fault = lambda _number, _request: None
        yield number


@pytest.mark.parametrize("following", ["rename", "apply new", "apply old", "rollback", "delete", "rename to another"])
def test_killed_at_each_request(shop: Situation, pretended: Pretended, following: str) -> None:
    old, new = named(shop, "case", SHOP), named(shop, NEW, SHOP)
    words = {
        "rename": ["rename", "case", NEW],
        "apply new": ["apply", new],
        "apply old": ["apply", old],
        "rollback": ["rollback"],
        "delete": ["delete", "--name", NEW],
        "rename to another": ["rename", "case", "another"],
    }[following]
    before, numbers = as_before(pretended), 0
    for number in killed(pretended, shop, "rename", "case", NEW):
        numbers += 1
        for file in (old, new):
            code, out, err = shop.run("check", "-q", file)
            assert code == (0 if file == old and number == 1 else 2), (number, file, out, err)
        code, out, err = shop.run(*words)
        assert code == 0, (number, out, err)
        assert not (pretended.folder / "netrecon" / "snapshot").exists()
        if following == "delete":
            assert json.loads(shop.run("list", "--json")[1])["topologies"] == []
            continue
        name = {"rename": NEW, "apply new": NEW, "rename to another": "another"}.get(following, "case")
        assert [one["name"] for one in json.loads(shop.run("list", "--json")[1])["topologies"]] == [name]
        assert shop.run("plan", "-q", named(shop, name, SHOP))[0] == 0
        if name != "another":
            assert same(before, as_before(pretended)), number
    assert numbers > 15


@pytest.mark.parametrize("words", [["rename", "case", NEW], ["rollback"]], ids=" ".join)
@pytest.mark.parametrize(("where", "call"), [("save", 1), ("save", 2), ("settle", 2)])
def test_killed_at_each_file(
    shop: Situation, pretended: Pretended, monkeypatch: pytest.MonkeyPatch, where: str, call: int, words: list[str]
) -> None:
    """Before and after the requests: when records are written, and when the snapshot is deleted."""
    before, calls = as_before(pretended), []
    module = records if where == "save" else undo_log

    def kill(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == call:
            raise Killed
        original(*arguments)

    original = getattr(module, where)
    with monkeypatch.context() as patch:
        patch.setattr(module, where, kill)
        with pytest.raises(Killed):
            shop.run("rename", "case", NEW)
    code, out, err = shop.run(*words)
    assert code == 0, out + err
    name = NEW if words[0] == "rename" else "case"
    assert [one["name"] for one in json.loads(shop.run("list", "--json")[1])["topologies"]] == [name]
    assert same(before, as_before(pretended))


def test_a_full_disk_is_noticed_before_anything_is_changed(
    shop: Situation, pretended: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, sent = as_before(pretended), len(pretended.sent)

    def full(*_: object) -> None:
        raise KernelError("write", Failure(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(undo_log, "write", full)
        assert shop.run("rename", "case", NEW)[0] == 1
    assert (as_before(pretended), len(pretended.sent)) == (before, sent)


def test_stopped_by_a_signal(shop: Situation, pretended: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    before, save = as_before(pretended), records.save
    with monkeypatch.context() as patch:
        patch.setattr(records, "save", lambda *given: (save(*given), os.kill(os.getpid(), signal.SIGTERM)))
        code, _out, err = shop.run("rename", "case", NEW)
    assert code == 3
    assert "stopped by SIGTERM" in err
    assert same(before, as_before(pretended))


def test_refused_while_an_apply_waits_for_its_confirmation(shop: Situation, pretended: Pretended) -> None:
    confirmation.restart(confirmation.begin(["case"], 60.0))
    before = as_before(pretended)
    code, _out, err = shop.run("rename", "case", NEW)
    assert code == 1
    assert "waits for confirmation" in err
    assert same(before, as_before(pretended))


def test_the_hosts_file_keeps_all_but_the_name(shop: Situation, pretended: Pretended) -> None:
    before = (pretended.etc / "hosts").read_bytes()
    assert shop.run("rename", "case", NEW)[0] == 0
    after = (pretended.etc / "hosts").read_bytes()
    assert before != after
    assert before == after.replace(NEW.encode(), b"case")
    assert before.startswith(b"127.0.0.1 localhost\r\n")


def test_what_follows_from_the_old_name_stays(shop: Situation, pretended: Pretended) -> None:
    addresses = [row.address for row in pretended.host.state("a").addresses]
    assert shop.run("rename", "case", NEW)[0] == 0
    for _ in range(2):
        assert shop.run("apply", "-q", named(shop, NEW, SHOP))[0] == 0
        assert [row.address for row in pretended.host.state("a").addresses] == addresses


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("case", "case"), "case is the name already"),
        (("case", "9lives"), "is not a topology name"),
        (("Case", NEW), "is not a topology name"),
        (("nobody", NEW), "the kernel holds no topology nobody"),
        (("case", "other"), "the kernel holds a topology other already"),
        (("case", "recorded"), "the kernel holds a topology recorded already"),
    ],
)
def test_refused(shop: Situation, pretended: Pretended, words: tuple[str, str], told: str) -> None:
    other = {"bridges": {"other0": {}}}
    recorded = {"sysctls": {"net.ipv4.conf.all.forwarding": 1}}
    for name, topology in {"other": other, "recorded": recorded}.items():
        assert shop.run("apply", "-q", named(shop, name, topology))[0] == 0
    before = as_before(pretended)
    code, out, err = shop.run("rename", *words)
    assert (code, out) == (1, "")
    assert told in err
    assert same(before, as_before(pretended))


def test_what_it_says(shop: Situation) -> None:
    """What to write in this topology's file, and in those of others that join its networks."""
    joined = {"networks": {"lan": {"external": "case"}}, "sandboxes": {"c": {"endpoints": {"lan": {}}}}}
    assert shop.run("apply", "-q", named(shop, "other", joined))[0] == 0
    code, out, err = shop.run("rename", "case", NEW)
    assert code == 0
    assert re.fullmatch(rf"case is {NEW} now: \d+ objects, verified in [\d.]+ s. Write name: {NEW} in its file.\n", out)
    assert "other topologies have links on its bridges: other (on br-lan); where their files say external: case" in err
    code, _out, err = shop.run("check", named(shop, "other", joined))
    assert code == 1
    assert f"br-lan belongs to topology {NEW}: after a rename, write external: {NEW}" in err
    joined["networks"] = {"lan": {"external": NEW}}
    assert shop.run("check", named(shop, "other", joined))[0] == 0
    code, out, err = shop.run("rename", "-v", "other", "case")  # the name is free again
    assert (code, err) == (0, "")
    assert "= veth/host/v-c-lan\n" in out
    assert shop.run("check", named(shop, "case", joined))[0] == 0


def test_rows_of_json(shop: Situation) -> None:
    held = json.loads(shop.run("list", "--json")[1])["topologies"][0]["objects"]
    told = json.loads(shop.run("rename", "case", NEW, "--json")[1])
    assert (told["command"], told["topologies"], told["result"]["verified"]) == ("rename", ["case", NEW], True)
    kinds = [change["kind"] for change in told["changes"]]
    assert {kind: kinds.count(kind) for kind in held} == held | {"sysctl": kinds.count("sysctl")}
    assert {(change["action"], change["before"]["owner"], change["after"]["owner"]) for change in told["changes"]} == {
        ("adopt", "case", NEW)
    }
