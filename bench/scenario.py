"""The state that is measured: N namespaces on one bridge, P published ports; as a topology, and for ip and nft."""

from __future__ import annotations

from collections.abc import Iterator

NAME = "scale"
BRIDGE = "scale0"
GATEWAY = "10.128.0.1"
FIRST_PORT = 20_000


def namespaces(count: int) -> Iterator[tuple[str, str, str]]:
    """(namespace, its veth's name on the host, its address)."""
    for number in range(count):
        high, low = divmod(number + 10, 250)
        yield f"s{number}", f"v{number}", f"10.128.{high}.{low + 2}"


def ports(count: int, spaces: int) -> Iterator[tuple[int, str, int]]:
    """(listening port, target address, target port), spread over all namespaces."""
    targets = [address for _, _, address in namespaces(spaces)]
    for number in range(count):
        yield FIRST_PORT + number, targets[number % spaces], 80 + number // spaces


def topology(spaces: int, published: int) -> str:
    """The state as netrecon's YAML."""
    rows = list(namespaces(spaces))
    lines = ["version: 1", f"name: {NAME}", "bridges:", f"  {BRIDGE}: {{addresses: [{GATEWAY}/16]}}", "veths:"]
    lines += [
        f"  {veth}: {{master: {BRIDGE}, peer: {{namespace: {name}, name: eth0, addresses: [{address}/16]}}}}"
        for name, veth, address in rows
    ]
    lines += ["sysctls: {net.ipv4.ip_forward: 1}", "port_maps:"]
    lines += [f'  - "{port}:{target}:{to}"' for port, target, to in ports(published, spaces)]
    lines += ["namespaces:"]
    lines += [f"  {name}: {{routes: [{{to: default, via: {GATEWAY}}}]}}" for name, _, _ in rows]
    return "\n".join(lines) + "\n"


def ports_to(target: str, count: int = 5_000) -> str:
    """A topology of ports alone, all to one target."""
    lines = [f'  - "{FIRST_PORT + number}:{target}:80"' for number in range(count)]
    return "\n".join(["version: 1", f"name: {NAME}", "port_maps:", *lines]) + "\n"


# ------------------------------------------------------------------ the same by ip -batch and nft -f


def host_batch(spaces: int) -> str:
    """Lines for ``ip -batch`` in the host scope."""
    lines = [f"link add {BRIDGE} type bridge", f"address add {GATEWAY}/16 dev {BRIDGE}"]
    for name, veth, _ in namespaces(spaces):
        lines.append(f"netns add {name}")
        lines.append(f"link add {veth} master {BRIDGE} up type veth peer name eth0 netns {name}")
    return "\n".join([*lines, f"link set {BRIDGE} up"]) + "\n"


def inner_batches(spaces: int) -> Iterator[tuple[str, str]]:
    """(namespace, lines for ``ip -n NAMESPACE -batch``)."""
    for name, _, address in namespaces(spaces):
        lines = ("link set lo up", f"address add {address}/16 dev eth0", "link set eth0 up")
        yield name, "\n".join([*lines, f"route add default via {GATEWAY}"]) + "\n"


def nft_ruleset(published: int, spaces: int) -> str:
    """The ports as one map and the rules that use it, for ``nft -f``."""
    elements = ", ".join(f"tcp . {port} : {target} . {to}" for port, target, to in ports(published, spaces))
    return f"""table inet {NAME} {{
  map published {{ type inet_proto . inet_service : ipv4_addr . inet_service; elements = {{ {elements} }} }}
  chain publish {{ meta nfproto ipv4 dnat ip to meta l4proto . th dport map @published; }}
  chain prerouting {{ type nat hook prerouting priority -100; fib daddr type local jump publish; }}
  chain output {{ type nat hook output priority -100; fib daddr type local jump publish; }}
}}
"""
