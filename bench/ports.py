"""What published ports cost: to add, to look at, and to every packet.

Run as root: python bench/ports.py [--json FILE].  It works in network and mount namespaces of its own.  Everything is
given beside a floor measured in the same run: ``nft -f`` with the same elements for what is added,
and ten ports for the packets.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
INSIDE = "NETRECON_BENCH"
TABLE = "netrecon-bench"
TARGET = "172.16.0.2"
SIZES = (10, 1_000, 10_000, 50_000)
ADDED = 1_000

SETUP = f"""set -e
mount -t tmpfs none /run; mkdir /run/netns; mount -t sysfs none /sys
ip link set lo up; sysctl -qw net.ipv4.ip_forward=1
ip netns add lan; ip netns add target
ip link add br0 type bridge; ip addr add 172.16.0.1/24 dev br0; ip link set br0 up
ip link add eth0 type veth peer name eth0 netns lan; ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up
ip -n lan addr add 192.0.2.9/24 dev eth0; ip -n lan link set eth0 up
ip link add v0 type veth peer name eth0 netns target; ip link set v0 master br0; ip link set v0 up
ip -n target addr add {TARGET}/24 dev eth0; ip -n target link set eth0 up; ip -n target route add default via 172.16.0.1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    parser.add_argument("--runs", type=int, default=9, help="runs of each measurement; the median counts")
    parser.add_argument("--flows", type=int, default=1_500, help="new flows for each number of ports")
    options = parser.parse_args()
    if INSIDE not in os.environ:
        unshare = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        os.execvpe(unshare[0], unshare, {**os.environ, INSIDE: "1"})
    subprocess.run(["/bin/sh", "-c", SETUP], check=True)
    results = measure(options.runs, options.flows)
    print(told(results))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


def measure(runs: int, flows: int) -> dict[str, Any]:
    from reconciler.kernel.namespaces.worker import Kernel

    results: dict[str, Any] = {"kernel": platform.release(), "cpus": os.cpu_count(), "runs": runs, "flows": flows}
    with Kernel() as kernel:
        results["packets"] = packets(kernel, flows)
        publish(kernel, 10_000)
        results["add"] = added(kernel, runs)
        results["read"] = read(kernel, runs)
    return results


# ------------------------------------------------------------------------------------------------ the table


def publish(kernel: Any, count: int) -> None:
    """A table anew with so many published ports, all of one target, as an apply would make it."""
    from reconciler.kernel.nftables import nft_tables
    from reconciler.kinds.nat import ruleset
    from reconciler.model.keys import HOST
    from reconciler.model.requests import NftFrame

    nft(f"add table inet {TABLE}; delete table inet {TABLE}")
    frame = NftFrame(HOST, TABLE, ruleset.frame_text(TABLE, {}))
    failure = nft_tables.transact(kernel, HOST, [frame, *elements(range(1, count + 1), "add")])
    if failure is not None:
        sys.exit(f"bench: {failure}")


def elements(ports: Any, action: str, protocol: str = "udp") -> list[Any]:
    from reconciler.kinds.nat import port_map
    from reconciler.model.keys import HOST

    maps = [port_map.PortMap(HOST, protocol, "0.0.0.0", port, TARGET, 80, TABLE) for port in ports]
    kind = port_map.KIND
    made = (kind.create(one, "bench") if action == "add" else kind.delete(one) for one in maps)
    return [request for requests in made for request in requests if type(request).__name__ == "NftElement"]


def nft(commands: str) -> None:
    subprocess.run(["nft", commands], check=True)


# ------------------------------------------------------------------------------------------------ to add, to look at


def timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1e3


def added(kernel: Any, runs: int) -> dict[str, float]:
    """ADDED ports more on a host that has 10,000, in turn by us and by ``nft -f``; milliseconds."""
    from reconciler.kernel.nftables import nft_tables
    from reconciler.model.keys import HOST

    coming, going = (elements(range(1, ADDED + 1), action, "tcp") for action in ("add", "delete"))
    file = pathlib.Path("/run/elements.nft")
    file.write_text(nft_tables.commands(coming) + "\n")
    ours, floor = [], []
    for _ in range(runs):
        ours.append(timed(lambda: nft_tables.transact(kernel, HOST, coming)))
        nft_tables.transact(kernel, HOST, going)
        floor.append(timed(lambda: subprocess.run(["nft", "-f", str(file)], check=True)))
        nft_tables.transact(kernel, HOST, going)
    mine, theirs = statistics.median(ours), statistics.median(floor)
    return {"ports": ADDED, "ms": mine, "nft_ms": theirs, "ratio": mine / theirs}


def read(kernel: Any, runs: int) -> dict[str, float]:
    """The whole table with 10,000 ports read and decoded, beside ``nft list table``; milliseconds."""
    from reconciler.kernel.nftables import nft_tables
    from reconciler.model.keys import HOST

    ours, floor = [], []
    command = ["nft", "list", "table", "inet", TABLE]
    for _ in range(runs):
        ours.append(timed(lambda: nft_tables.read_tables(kernel, HOST)))
        floor.append(timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)))
    mine, theirs = statistics.median(ours), statistics.median(floor)
    return {"ports": 10_000, "ms": mine, "nft_ms": theirs, "ratio": mine / theirs}


# ------------------------------------------------------------------------------------------------ packets


def packets(kernel: Any, flows: int) -> list[dict[str, float]]:
    """By number of ports: the median time until a new UDP flow has its answer, in microseconds."""
    stop = threading.Event()
    server = threading.Thread(target=serve, args=(stop,), daemon=True)
    server.start()
    found: dict[int, list[float]] = {count: [] for count in SIZES}
    rounds = 3  # in turn, so that a busy moment of the machine meets all sizes
    for _ in range(rounds):
        for count in SIZES:
            publish(kernel, count)
            found[count] += ask(flows // rounds, count)
    stop.set()
    server.join(2)
    medians = {count: statistics.median(times) for count, times in found.items()}
    return [{"ports": count, "us": medians[count], "ratio": medians[count] / medians[SIZES[0]]} for count in SIZES]


def enter(namespace: str) -> None:
    """Move this thread; it is one that does nothing else."""
    from reconciler.kernel.namespaces import libc

    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    libc.setns(fd, libc.CLONE_NEWNET, namespace)
    os.close(fd)


def serve(stop: threading.Event) -> None:
    enter("target")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 80))
        sock.settimeout(0.2)
        while not stop.is_set():
            try:
                data, peer = sock.recvfrom(64)
            except TimeoutError:
                continue
            sock.sendto(data, peer)


def ask(flows: int, count: int) -> list[float]:
    times: list[float] = []
    thread = threading.Thread(target=_ask, args=(flows, count, times))
    thread.start()
    thread.join()
    return times


def _ask(flows: int, count: int, times: list[float]) -> None:
    enter("lan")
    for number in range(flows + 20):
        port = 1 + number * 7919 % count
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect(("192.0.2.1", port))
            started = time.perf_counter()
            sock.send(b"?")
            sock.recv(64)
            if number >= 20:  # the first find their neighbours
                times.append((time.perf_counter() - started) * 1e6)


# ------------------------------------------------------------------------------------------------ told


def _beside(row: dict[str, float], floor: str) -> str:
    return f"{row['ms']:.1f} ms; {floor}: {row['nft_ms']:.1f} ms; ratio {row['ratio']:.2f}"


def told(results: dict[str, Any]) -> str:
    add, look = results["add"], results["read"]
    lines = [
        f"kernel {results['kernel']}, {results['cpus']} CPUs, medians of {results['runs']} runs",
        f"add {add['ports']} ports to 10,000: {_beside(add, 'nft -f')}",
        f"read 10,000 ports: {_beside(look, 'nft list')}",
        *(
            f"new UDP flow, {row['ports']:>6,} ports: {row['us']:.0f} µs; ratio {row['ratio']:.2f}"
            for row in results["packets"]
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
