"""The same namespaces for IfState, a declarative peer, where it is installed (it has no published ports)."""

from __future__ import annotations

import pathlib

import scenario

COMMAND = "ifstatecli"
MOST = 100  # namespaces: with 500 it takes 20 minutes
WORK = {"create": "apply", "check": "check", "no-op": "apply"}


def command(word: str, folder: pathlib.Path) -> list[str]:
    return [COMMAND, "-c", str(folder / "ifstate.yaml"), word]


def config(spaces: int) -> str:
    rows = list(scenario.namespaces(spaces))
    lines = [
        "interfaces:",
        f"  {scenario.BRIDGE}:",
        "    link: {kind: bridge, state: up}",
        f"    addresses: [{scenario.GATEWAY}/16]",
    ]
    for name, veth, _ in rows:
        link = f"kind: veth, state: up, peer: eth0, peer_netns: {name}, master: {scenario.BRIDGE}"
        lines.append(f"  {veth}: {{link: {{{link}}}}}")
    lines.append("namespaces:")
    for name, veth, address in rows:
        link = f"kind: veth, state: up, peer: {veth}, peer_netns: null"
        route = f"routing: {{routes: [{{to: 0.0.0.0/0, via: {scenario.GATEWAY}, dev: eth0}}]}}"
        lines.append(f"  {name}: {{interfaces: {{eth0: {{link: {{{link}}}, addresses: [{address}/16]}}}}, {route}}}")
    return "\n".join(lines) + "\n"
