"""docs/adding-a-kind.md does what it says: a copy of the tree with the kind that it adds, and every command with it.

The copy gets a second kind of tests/cases/kinds, which has a table of attributes, one of them secret.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml
from throwaway import sh

pytestmark = pytest.mark.live
ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs/adding-a-kind.md").read_text()
OTHER = ROOT / "tests/cases/kinds/macvtap"
BLOCKS = dict(re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
NO_CACHE = shutil.ignore_patterns("__pycache__")
WORD = "54321"  # the secret: it must not turn up anywhere
SHOWN = "secret sha256:"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The repository with two kinds more."""
    copy = tmp_path_factory.mktemp("tree")
    for name in ("reconciler", "schemas", "tests", "pyproject.toml"):
        whole = ROOT / name
        shutil.copytree(whole, copy / name, ignore=NO_CACHE) if whole.is_dir() else shutil.copy(whole, copy / name)
    for name, text in BLOCKS.items():
        write(copy / name, text)
    registry = copy / "reconciler/kinds/__init__.py"
    text = registry.read_text().replace("ifb, interface,", "ifb, interface, macvtap,")
    registry.write_text(text.replace("    ifb.KIND,\n", "    ifb.KIND,\n    macvtap.KIND,\n"))
    shutil.copy(OTHER / "macvtap.py", copy / "reconciler/kinds/links")
    shutil.copy(OTHER / "macvtap.json", copy / "schemas")
    shutil.copytree(OTHER / "situations", copy / "tests/cases/situations/macvtap")
    return copy


def write(path: pathlib.Path, text: str) -> None:
    """A block of the page: a new file, several in a folder, or lines that change in a file."""
    if path.is_file():
        path.write_text(changed(path.read_text(), text))
    elif path.suffix:
        path.write_text(text)
    else:
        path.mkdir()
        for name, case in re.findall(r"^# (\w+\.yaml)\n(.*?)(?=^# |\Z)", text, re.MULTILINE | re.DOTALL):
            (path / name).write_text(case)


def changed(text: str, difference: str) -> str:
    for hunk in difference.split("@@\n"):
        old, new = ("".join(line[1:] for line in hunk.splitlines(True) if line[0] in signs) for signs in (" -", " +"))
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.fixture
def netrecon(tree: pathlib.Path, tmp_path: pathlib.Path) -> Any:
    """``netrecon(COMMAND, TOPOLOGY, OPTION...)``: the code and what it said; the secret is in nothing of that."""
    if subprocess.run("ip link add type ifb", shell=True, capture_output=True).returncode:
        pytest.skip("this kernel has no ifb")
    sh("ip link del ifb0")

    def run(command: str, topology: Any = None, *options: str) -> tuple[int, str]:
        words = [command, *options]
        if topology is not None:
            text = topology if isinstance(topology, str) else yaml.safe_dump(topology)
            (tmp_path / "t.yaml").write_text(f"version: 1\nname: t\n{text}")
            words.append(str(tmp_path / "t.yaml"))
        done = subprocess.run([sys.executable, "-m", "reconciler", *words], **surroundings(tree))
        said = done.stdout + done.stderr
        assert WORD not in said or command == "lower", said
        return done.returncode, said.replace(f"{tmp_path}/", "")

    return run


def surroundings(tree: pathlib.Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return {"cwd": tree, "env": environment, "capture_output": True, "text": True, "timeout": 120}


TAP = {"link": "br0", "mode": 4, "queue": int(WORD)}
WHOLE: dict[str, Any] = {
    "bridges": {"br0": {"addresses": ["10.8.0.1/24"]}},
    "ifbs": {"i0": {"mtu": 1400, "master": "br0"}},
    "macvtaps": {"t0": {**TAP, "addresses": ["10.9.0.1/24"]}},
    "routes": [{"to": "10.10.0.0/16", "via": "10.9.0.2", "dev": "t0"}],
}


def test_the_page_says_all_that_it_takes() -> None:
    assert set(BLOCKS) == {
        "reconciler/kinds/links/ifb.py",
        "reconciler/kinds/__init__.py",
        "schemas/ifb.json",
        "tests/cases/situations/ifb/",
    }
    assert len(PAGE.splitlines()) < 170  # two pages


def test_the_situations_hold_and_the_kinds_lack_nothing(tree: pathlib.Path) -> None:
    which = "ifb or macvtap or unique or nobody_writes or every_folder"
    words = ["tests/live/test_situations.py", "tests/unit/test_kinds.py", "-k", which]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, **surroundings(tree))
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 27  # type: ignore[index]


NETWORKS_OWN = '"10.0.0.0/24" is the network\'s own address of 10.0.0.0/24; write one in between, such as 10.0.0.1/24'
MISTAKES = """\
bridges: {br0: {}}
ifbs: {i1: {mtu: 40}, i2: {master: br1}, i3: {adresses: [10.0.0.1/24]}, i4: {addresses: [10.0.0.0/24]}}
macvtaps: {t0: {link: br0, queue: 9954321}, t1: {link: br9, queue: }}
namespaces: {blue: {ifsb: {shape0: {}}, routes: [{to: 10.0.0.0/8, dev: shape1}]}}
"""


def test_mistakes_are_told_at_once_with_the_nearest_name(netrecon: Any) -> None:
    code, said = netrecon("validate", MISTAKES)
    assert code == 1
    assert [line.split(": ", 1)[1] for line in said.splitlines()] == [
        "ifbs.i1.mtu: 40 is out of range; write 68 to 65535",
        'ifbs.i2.master: no link "br1" in host; did you mean "br0"?',
        'ifbs.i3.adresses: unknown key "adresses"; did you mean "addresses"?',
        "ifbs.i4.addresses[0]: " + NETWORKS_OWN,
        "macvtaps.t0.queue: is not what this secret can be; write 1 to 100000",
        'macvtaps.t1.link: no link "br9" in host; did you mean "br0"?',
        "macvtaps.t1.queue: is empty; write 1 to 100000, or remove the key",
        'namespaces.blue.ifsb: unknown key "ifsb"; did you mean "ifbs"?',
        'namespaces.blue.routes[0].dev: no link "shape1" in blue; did you mean "shape0"?',
    ]


def test_where_no_link_is_known_all_sections_of_links_are_named(netrecon: Any) -> None:
    code, said = netrecon("validate", {"isolations": [{"link": "nowhere"}]})
    assert code == 1
    assert "declare it under bridges, veths, ifbs, macvtaps or interfaces" in said


def test_lower_writes_links_in_the_order_of_the_kinds(netrecon: Any) -> None:
    code, said = netrecon(
        "lower", {**WHOLE, "interfaces": {"lo": {}}, "networks": {"web": {"subnets": ["10.7.0.0/24"]}}}
    )
    assert code == 0, said
    sections = re.findall(r"^(\w+):", said, re.MULTILINE)
    assert sections[:6] == ["version", "name", "bridges", "ifbs", "macvtaps", "interfaces"]
    assert yaml.safe_load(said)["macvtaps"] == WHOLE["macvtaps"]


def test_applied_checked_and_deleted_without_the_secret_in_sight(netrecon: Any) -> None:
    code, said = netrecon("plan", WHOLE)
    assert (code, f"queue {SHOWN}" in said) == (2, True), said
    code, said = netrecon("apply", WHOLE, "--json")
    assert code == 0, said
    made = {one["key"]: one["after"] for one in json.loads(said)["changes"]}
    assert made["macvtap/host/t0"]["queue"].startswith(SHOWN)
    assert netrecon("check", WHOLE, "-v")[0] == 0
    assert f"bcqueuelen {WORD}" in sh("ip -d link show t0")
    sh("ip link set t0 type macvtap bcqueuelen 777")
    code, said = netrecon("plan", WHOLE, "--json")
    (change,) = json.loads(said)["changes"]
    assert (code, change["action"], [*change["before"]]) == (2, "update", ["queue"])
    assert change["before"] != change["after"]
    assert netrecon("apply", WHOLE)[0] == 0
    assert netrecon("delete", WHOLE)[0] == 0
    assert "i0" not in sh("ip -br link") + sh("ls /run/netrecon")


def test_a_failed_apply_gives_the_secret_back(netrecon: Any) -> None:
    assert netrecon("apply", WHOLE)[0] == 0
    other = {**WHOLE, "macvtaps": {"t0": {**WHOLE["macvtaps"]["t0"], "queue": 777}}}
    code, said = netrecon("apply", {**other, "sysctls": {"net.ipv4.tcp_congestion_control": "nosuch"}})
    assert code == 3, said
    assert "failed and rolled back" in said
    assert f"bcqueuelen {WORD}" in sh("ip -d link show t0")
    assert netrecon("check", WHOLE)[0] == 0


def test_a_rollback_from_disk_says_that_the_secret_is_lost(netrecon: Any, tree: pathlib.Path, tmp_path: Any) -> None:
    assert netrecon("apply", WHOLE)[0] == 0
    macvtap = {**WHOLE["macvtaps"]["t0"], "queue": 777}
    (tmp_path / "t.yaml").write_text(
        "version: 1\nname: t\n" + yaml.safe_dump({**WHOLE, "ifbs": {}, "macvtaps": {"t0": macvtap}})
    )
    killed = "from reconciler.safety import undo_log; from reconciler.cli import main; undo_log.settle = lambda: None;"
    killed += "raise SystemExit(main.main(['apply', 't.yaml']))"  # as if it were killed after its last change
    done = subprocess.run([sys.executable, "-c", killed], **{**surroundings(tree), "cwd": tmp_path})
    assert done.returncode == 0, done.stderr
    kept = pathlib.Path("/run/netrecon/snapshot").read_text()
    assert "sha256" in kept
    assert WORD not in kept
    code, said = netrecon("rollback")
    assert code == 4, said
    expected = "update macvtap/host/t0: queue is secret and was not kept on disk; apply its topology again"
    assert f"not taken back: {expected}" in said
    assert re.search("^taken back: .*ifb/host/i0$", said, re.MULTILINE)
    assert "i0" in sh("ip -br link")
    assert netrecon("apply", WHOLE)[0] == 0
    assert f"bcqueuelen {WORD}" in sh("ip -d link show t0")


def test_rehearsed_in_an_empty_host_and_in_a_copy_of_this_one(netrecon: Any) -> None:
    code, said = netrecon("rehearse", WHOLE)
    assert code == 0, said
    assert netrecon("apply", WHOLE)[0] == 0
    other = {**WHOLE, "macvtaps": {"t0": {**WHOLE["macvtaps"]["t0"], "queue": 777}}}
    code, said = netrecon("plan", other, "--rehearse")
    assert code == 2, said
    assert "could not" not in said
    assert f"bcqueuelen {WORD}" in sh("ip -d link show t0")


def test_made_by_hand_and_adopted(netrecon: Any) -> None:
    sh("ip link add br0 type bridge; ip link set br0 up; ip link add i0 type ifb; ip link set i0 up")
    sh(f"ip link add t0 link br0 type macvtap mode bridge bcqueuelen {WORD}; ip link set t0 up")
    by_hand = {"bridges": {"br0": {}}, "ifbs": {"i0": {}}, "macvtaps": {"t0": TAP}}
    code, said = netrecon("plan", by_hand)
    assert (code, said.count("--adopt would take it over")) == (2, 3), said
    code, said = netrecon("apply", by_hand, "--adopt", "--json")
    assert code == 0, said
    assert {one["action"] for one in json.loads(said)["changes"]} == {"adopt"}
    assert netrecon("check", by_hand)[0] == 0
