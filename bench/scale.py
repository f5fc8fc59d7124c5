"""netrecon beside the floor, ip and nft: N namespaces and P published ports, whole processes, medians.

    scale.py [--full] [--runs N] [--json FILE] [--docs FOLDER]

Needs root, and works in a throwaway network.  Every round runs all of them one after the other, so that what else the
machine does meets them alike; the processor's time is what to compare where it does much.  netrecon prints what it
does by default, into a file.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))

import ifstate  # noqa: E402
import measure  # noqa: E402
import scenario  # noqa: E402
import tables  # noqa: E402
import throwaway  # noqa: E402

Size = tuple[int, int]
QUICK: tuple[Size, ...] = ((10, 10), (100, 1_000))
FULL: tuple[Size, ...] = tuple((spaces, ports) for spaces in (10, 100, 1_000) for ports in (10, 1_000, 10_000))
MORE = 1_000  # ports added to a live host
FOLDER = pathlib.Path("/run/bench")
NETRECON = [sys.executable, str(pathlib.Path(sys.executable).with_name("netrecon"))]
PEER_ROUNDS = 2  # ip needs a fork per namespace


class Rounds:
    """What was measured of one size: work -> samples, and netrecon's own stages."""

    def __init__(self) -> None:
        self.samples: dict[str, list[measure.Sample]] = defaultdict(list)
        self.stages: dict[str, list[dict[str, float]]] = defaultdict(list)
        self.messages: dict[str, int] = {}

    def run(self, work: str, *command: str, expected: int = 0) -> None:
        self.samples[work].append(measure.run(command, (expected,)))

    def netrecon(self, work: str, *words: str, expected: int = 0) -> None:
        sample = measure.run([*NETRECON, *words, "--debug", "timings"], (expected,))
        self.samples[work].append(sample)
        self.stages[work].append(stages(sample.said))

    def count(self, work: str, *command: str) -> None:
        self.messages[work] = measure.messages(command)

    def result(self) -> dict[str, Any]:
        """Medians, and how many runs they are of."""
        return {
            work: {
                "runs": len(found),
                "wall": statistics.median(one.wall for one in found),
                "cpu": statistics.median(one.cpu for one in found),
                "rss": max(one.rss for one in found),
                "messages": self.messages.get(work),
                "stages": medians(self.stages[work]) if work in self.stages else {},
            }
            for work, found in self.samples.items()
        }


def stages(said: str) -> dict[str, float]:
    """Stage -> seconds of the processor, from what ``--debug timings`` printed."""
    words = (line.split() for line in said.splitlines())
    return {line[0]: float(line[-1]) / 1000 for line in words if len(line) in (2, 3) and line[0] != "stage"}


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one.get(name, 0.0) for one in rounds) for name in rounds[0]}


# ------------------------------------------------------------------ one round


def netrecon(rounds: Rounds, size: Size) -> None:
    file, more = (str(FOLDER / name) for name in ("scale.yaml", "more.yaml"))
    rounds.netrecon("validate", "validate", "-q", file)
    rounds.netrecon("first apply", "apply", file)
    rounds.netrecon("no-op check", "check", file)
    rounds.netrecon("no-op apply", "apply", file)
    throwaway.sh(f"ip -n s{size[0] // 2} route del default")
    rounds.netrecon("repair of one route", "apply", file)
    rounds.netrecon("apply after it", "apply", file)
    rounds.netrecon(f"{MORE:,} ports added", "apply", more)
    rounds.netrecon("delete", "delete", file)


def floor(rounds: Rounds, size: Size) -> None:
    program = [sys.executable, "-S", "-E", str(ROOT / "bench/floor.py")]
    for work in ("create", "read", "delete"):
        rounds.run(f"floor: {work}", *program, work, *map(str, size))


def peers(rounds: Rounds, size: Size) -> None:
    for work in ("create", "dump", "delete"):
        rounds.run(f"ip and nft: {work}", "/bin/sh", str(FOLDER / f"{work}.sh"))
    if shutil.which(ifstate.COMMAND) and size[0] <= ifstate.MOST:
        for work, words in ifstate.WORK.items():
            rounds.run(f"IfState: {work}", *ifstate.command(words, FOLDER))
        throwaway.sh(str(FOLDER / "delete.sh"))


def small(rounds: Rounds) -> None:
    """What does not grow: starting Python, importing the libraries, one small topology."""
    file = str(ROOT / "topologies/docker-by-hand.yaml")
    rounds.run("python3 -c pass", sys.executable, "-c", "pass")
    rounds.run(tables.LIBRARIES, sys.executable, "-c", tables.LIBRARIES)
    measure.run([*NETRECON, "apply", "-q", file])
    rounds.netrecon("check of docker-by-hand", "check", file)
    measure.run([*NETRECON, "delete", "-q", file])
    rounds.run("5,000 ports without mistakes", *NETRECON, "validate", str(FOLDER / "right.yaml"))
    rounds.run("5,000 equal mistakes", *NETRECON, "validate", str(FOLDER / "wrong.yaml"), expected=1)


def counted(rounds: Rounds) -> None:
    """Netlink messages, in a round of its own: strace makes everything slow."""
    file = str(FOLDER / "scale.yaml")
    for work, words in (
        ("validate", ("validate", file)),
        ("first apply", ("apply", file)),
        ("no-op check", ("check", file)),
        ("no-op apply", ("apply", file)),
        ("delete", ("delete", file)),
    ):
        rounds.count(work, *NETRECON, *words)


# ------------------------------------------------------------------ files and rounds


def write_files(size: Size) -> None:
    FOLDER.mkdir(exist_ok=True)
    spaces, ports = size
    names = [name for name, _, _ in scenario.namespaces(spaces)]
    files = {
        "scale.yaml": scenario.topology(spaces, ports),
        "more.yaml": scenario.topology(spaces, ports + MORE),
        "right.yaml": scenario.ports_to("10.0.0.3"),
        "wrong.yaml": scenario.ports_to("10.0.0.300"),
        "host.ip": scenario.host_batch(spaces),
        "dump.ip": "link show\naddress show\nroute show table all\nrule show\n",
        "ports.nft": scenario.nft_ruleset(ports, spaces),
        "create.sh": "\n".join(creating(names)),
        "dump.sh": "\n".join(dumping(names)),
        "delete.sh": "\n".join(deleting(names)),
        "ifstate.yaml": ifstate.config(spaces),
    }
    files |= {f"{name}.ip": batch for name, batch in scenario.inner_batches(spaces)}
    for name, text in files.items():
        (FOLDER / name).write_text(text)
        (FOLDER / name).chmod(0o755)


def creating(names: list[str]) -> Iterator[str]:
    yield f"#!/bin/sh -e\nip -batch {FOLDER}/host.ip"
    yield from (f"ip -n {name} -batch {FOLDER}/{name}.ip" for name in names)
    yield f"nft -f {FOLDER}/ports.nft"


def dumping(names: list[str]) -> Iterator[str]:
    yield f"#!/bin/sh -e\nexec >/dev/null\nip -batch {FOLDER}/dump.ip"
    yield from (f"ip -n {name} -batch {FOLDER}/dump.ip" for name in names)
    yield "nft list ruleset"


def deleting(names: list[str]) -> Iterator[str]:
    yield "#!/bin/sh\nip -batch - <<E"
    yield from (f"netns delete {name}" for name in names)
    yield f"link delete {scenario.BRIDGE}\nE\nnft delete table inet {scenario.NAME} 2>/dev/null || :"


def measured(size: Size, runs: int) -> dict[str, Any]:
    """All of one size, in a network of its own."""
    rounds = Rounds()
    with throwaway.host():
        write_files(size)
        for number in range(runs):
            for part in (netrecon, floor, peers)[: 3 if number < PEER_ROUNDS else 2]:
                part(rounds, size)
                measure.settled()
            small(rounds)
        if shutil.which("strace"):
            counted(rounds)
            measure.settled()
    return {"namespaces": size[0], "ports": size[1], "work": rounds.result()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--full", action="store_true", help="up to 1,000 namespaces and 10,000 ports (half an hour)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", action="append", metavar="N,P", help="measure this size instead")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the results there")
    parser.add_argument("--docs", type=pathlib.Path, metavar="FOLDER", help="put the figures into its performance.md")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root; it makes a throwaway network")
    sizes = [tuple(map(int, one.split(","))) for one in options.size or ()] or (FULL if options.full else QUICK)
    results: dict[str, Any] = {"machine": machine(), "sizes": []}
    for size in sizes:
        results["sizes"].append(measured(size, options.runs))
        print(tables.of_size(results["sizes"][-1]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.docs:
        tables.write(results, options.docs)


def machine() -> dict[str, Any]:
    return {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "load": [round(one, 1) for one in os.getloadavg()],
    }


if __name__ == "__main__":
    main()
