"""A kernel module that can be loaded is not a missing feature: plan and check say so, an apply loads it."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from command import Netrecon
from pretended.seam import Pretended

from reconciler.kernel.proc import modules, sysctl
from reconciler.model.errors import MissingDependency

FILTERED: dict[str, Any] = {"sysctls": {"net.bridge.bridge-nf-call-iptables": 1}}
AT_REST = {"net.bridge.bridge-nf-call-iptables": "0", "net.bridge.bridge-nf-call-ip6tables": "0"}
LATER = "it needs the kernel module br_netfilter, which is not loaded; apply loads it"


@pytest.fixture
def unloaded(pretended: Pretended) -> Pretended:
    for key in AT_REST:
        pretended.host.space("host").settings.pop(key, None)
    pretended.absent = {"br_netfilter": AT_REST}
    return pretended


def value(pretended: Pretended, key: str = "net.bridge.bridge-nf-call-iptables") -> str | None:
    return pretended.host.space("host").settings.get(key)


@pytest.mark.parametrize("topology", [FILTERED, {"bridges": {"br0": {"nf_call_iptables": True}}}])
def test_plan_names_it_and_only_apply_loads_it(
    topology: dict[str, Any], unloaded: Pretended, netrecon: Netrecon
) -> None:
    assert LATER in netrecon("plan", topology, code=2)
    netrecon("check", topology, code=2)
    assert unloaded.absent
    netrecon("apply", "-q", topology)
    assert not unloaded.absent
    netrecon("check", topology)
    assert LATER not in netrecon("plan", topology)


def test_a_setting_that_a_module_brought_goes_back_to_rest(unloaded: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", FILTERED)
    assert value(unloaded) == "1"
    netrecon("delete", "-q", FILTERED)
    assert value(unloaded) == "0"


def test_a_setting_that_is_right_once_the_module_is_loaded(unloaded: Pretended, netrecon: Netrecon) -> None:
    off = {"sysctls": {"net.bridge.bridge-nf-call-iptables": 0}}
    assert netrecon.json("apply", off)["result"]["verified"]
    netrecon("check", off)
    assert not unloaded.absent


def test_what_needs_no_module_loads_none(unloaded: Pretended, netrecon: Netrecon) -> None:
    netrecon("apply", "-q", {"bridges": {"br0": {"nf_call_iptables": False}}, "sysctls": {"net.ipv4.ip_forward": 1}})
    netrecon("apply", "-q", {"bridges": {}})
    assert unloaded.absent


def test_one_that_cannot_be_loaded_is_told_before_anything_is_changed(
    unloaded: Pretended, netrecon: Netrecon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_kernel: object, name: str) -> None:
        raise MissingDependency(f"the kernel module {name} cannot be loaded: no such file")

    monkeypatch.setattr(modules, "load", refuse)
    said = netrecon("apply", FILTERED | {"bridges": {"br0": {}}}, code=1)
    assert "the kernel module br_netfilter cannot be loaded: no such file" in said
    assert unloaded.sent == []


# ------------------------------------------------------------------ modprobe


def test_without_modprobe_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "_PATH", "/nowhere")
    with pytest.raises(
        MissingDependency, match="br_netfilter is not loaded, and there is no modprobe: apt install kmod"
    ):
        modules.load(None, "br_netfilter")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "said"),
    [("modprobe: FATAL: Module x not found\n", "FATAL: Module x not found"), ("", "modprobe exits 1")],
)
def test_the_words_of_modprobe_are_passed_on(
    words: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(modules, "_PATH", str(tmp_path))
    monkeypatch.setattr(sysctl, "ROOT", str(tmp_path))
    (tmp_path / "modprobe").touch(0o755)
    done = subprocess.CompletedProcess([], 1, "", words)
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_words: done)
    with pytest.raises(MissingDependency, match=f"the kernel module br_netfilter cannot be loaded: .*{said}"):
        modules.load(None, "br_netfilter")  # type: ignore[arg-type]
    (tmp_path / "net" / "bridge").mkdir(parents=True)
    (tmp_path / "net" / "bridge" / "bridge-nf-call-iptables").touch()
    assert modules.absent(["br_netfilter", "sctp"]) == ["sctp"]
