"""Compose projects as data, and what Docker Compose says of them: tests/cases/compose/reading and .../answers.

scripts/compose_answers.py asks Docker Compose anew.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parents[1] / "cases" / "compose"
READING = FOLDER / "reading"
ANSWERS = FOLDER / "answers"
SERVICE = (
    *("networks", "network_mode", "ports", "dns", "dns_search", "dns_opt", "extra_hosts", "sysctls", "mac_address"),
    *("hostname", "domainname", "container_name", "links", "depends_on"),
)
NETWORK = ("name", "external", "internal", "enable_ipv6", "attachable", "driver", "driver_opts", "ipam")


class Case(NamedTuple):
    """One project: its files, the words of the command before ``config``, the environment and the standard input."""

    topic: str
    name: str
    files: dict[str, str]
    arguments: list[str]
    environment: dict[str, str]
    stdin: str
    ours: Any  # where netrecon means to differ: its answer, or None

    def write(self, folder: Path) -> Path:
        """The files in a folder of its own, which gives the project its name."""
        root = folder / "project"
        root.mkdir()
        for name, text in self.files.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        return root


def cases() -> list[Case]:
    """All cases."""
    topics = [(file.stem, yaml.safe_load(file.read_text())) for file in sorted(READING.glob("*.yaml"))]
    return [_case(topic, entry) for topic, listed in topics for entry in listed]


def _case(topic: str, entry: dict[str, Any]) -> Case:
    arguments = entry.get("arguments", ["-f", "compose.yaml"])
    return Case(
        topic, entry["name"], entry.get("files", {}), arguments, entry.get("environment", {}), entry.get("stdin", ""),
        entry.get("ours"),
    )  # fmt: skip


def answers(topic: str) -> dict[str, Any]:
    """What Docker Compose said of the cases of a topic, by name: a reduced answer, or {"refused": its words}."""
    return dict(kept(topic))


def generated() -> list[tuple[Case, Any]]:
    """The generated projects, each with what Docker Compose said of it."""
    return [(_case("projects", entry), entry["said"]) for entry in kept("projects")]


def kept(topic: str) -> Any:
    """A file of answers."""
    return json.loads((ANSWERS / f"{topic}.json").read_text())


def reduced(config: dict[str, Any]) -> dict[str, Any]:
    """The parts of ``docker compose config --format json`` that concern the network."""
    services = {name: _kept(service, SERVICE) for name, service in config.get("services", {}).items()}
    for service in services.values():
        if "depends_on" in service:
            service["depends_on"] = sorted(service["depends_on"])
        if "networks" in service:
            service["networks"] = {name: _full(entry or {}) for name, entry in service["networks"].items()}
        if "extra_hosts" in service:  # a merge can repeat one
            service["extra_hosts"] = list(dict.fromkeys(service["extra_hosts"]))
    networks = {name: _kept(network, NETWORK) for name, network in config.get("networks", {}).items()}
    return {"name": config["name"], "services": services, "networks": networks}


def _kept(entry: dict[str, Any], words: tuple[str, ...]) -> dict[str, Any]:
    return _full({word: entry[word] for word in words if word in entry})


def _full(entry: dict[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in entry.items() if value not in (None, {}, [], "")}


# ------------------------------------------------------------------ generated texts

VARIABLES = {"SET": "value", "EMPTY": "", "_x1": "under", "D": "a$b${SET}"}
NAMES = ("SET", "EMPTY", "UNSET", "_x1", "D", "set")
OPERATORS = (":-", "-", ":+", "+", ":?", "?")


def expressions(count: int, seed: int) -> list[str]:
    """Texts with variables: whole ones of every form, and damaged ones."""
    chance = random.Random(seed)
    listed = [_damaged(_text(chance, 0), chance) if chance.random() < 0.3 else _text(chance, 0) for _ in range(count)]
    return list(dict.fromkeys(listed))


def _text(chance: random.Random, depth: int) -> str:
    return "".join(_part(chance, depth) for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))))


def _part(chance: random.Random, depth: int) -> str:
    name = chance.choice(NAMES)
    form = chance.random()
    if form < 0.25:
        return chance.choice(("a", "b c", ":80", "-", "/x", "1", "?", "+", "$$", "é", "", "{x}", "$1", "=", "'", "\\"))
    if form < 0.35:
        return f"${name}"
    if form < 0.5 or depth > 3:
        return f"${{{name}}}"
    return f"${{{name}{chance.choice(OPERATORS)}{_text(chance, depth + 1)}}}"


def _damaged(text: str, chance: random.Random) -> str:
    letters = list(text)
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(letters) + 1)
        what = chance.random()
        if what < 0.5 and letters:
            del letters[min(at, len(letters) - 1)]
        else:
            letters.insert(at, chance.choice("${}:-+?A \n\t0"))
    return "".join(letters)


def env_texts(count: int, seed: int) -> list[str]:
    """The texts of .env files: what people write, in any order, some of it damaged."""
    chance = random.Random(seed)
    listed = ["".join(_env_line(chance) for _ in range(chance.randrange(1, 5))) for _ in range(count)]
    return list(dict.fromkeys(_damaged(text, chance) if chance.random() < 0.3 else text for text in listed))


def _env_line(chance: random.Random) -> str:
    if chance.random() < 0.15:
        return chance.choice(("# comment\n", "\n", "  \n", "SET\n", "UNSET\n", "export SET\n"))
    key = chance.choice(("A", "B", "A", " C ", "export A", "export  B", "SET"))
    value = "".join(_env_part(chance) for _ in range(chance.randrange(4)))
    quote = chance.choice(("", "", "'", '"', '"'))
    end = chance.choice(("\n", "\n", " # comment\n", "#no comment\n", " \n", "\r\n"))
    return f"{key}{chance.choice(('=', '=', ' = ', ': ', '= '))}{quote}{value}{quote}{end}"


def _env_part(chance: random.Random) -> str:
    return chance.choice((
        "x", "y z", "#", " #", "\\n", "\\t", "\\\\", "\\$", "\\\"", "\\'", "\\x", "\\0101", "\\c", "$$", "$SET", "${A}",
        "${B:-d}", "$UNSET", "${EMPTY-e}", "é", "=", ":", "'", '"', "\n", "${SET:+${A}}", "  ",
    ))  # fmt: skip
