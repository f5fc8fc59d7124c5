"""Makes random Compose projects of a few files that extend, include, reset and override each other's services."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from compose_cases import Case

PORTS = (
    *(
        '"80:80"',
        '"81:80"',
        '"127.0.0.1:80:80"',
        '"0.0.0.0:80:80"',
        '"80:80/udp"',
        '"80-82:80-82"',
        '"81-83:81-83/tcp"',
    ),
    *('"${P:-80}:80"', "81", '"9000-9005:80"', '":80:80"', '"${BIND}:80:80"', '"[::1]:80:80"', "80:80", "22:22"),
    *('{target: 80, published: "80"}', '{target: 81, published: "81", protocol: udp}'),
    '{target: 80, host_ip: 127.0.0.1, published: "80"}',
)
HOSTS = (
    ("a", "1.1.1.1"),
    ("b", "2.2.2.2"),
    ("a", "3.3.3.3"),
    ("c", "host-gateway"),
    ("six", "::1"),
    ("seven", "[::1]"),
)
ALIASES = ("a", "b", "c", '"${A:-d}"')
SETTINGS = (("net.a", "1"), ("net.b", "2"), ("net.a", "3"), ("net.c", "x y"))
SERVICES = ("web", "app", "db")
VARIABLES = {"P": "8080", "DNS": "9.9.9.9", "BIND": "127.0.0.1", "E": "", "H": "hh"}
COMMON, DEEP = "lib/common.yaml", "deep.yaml"
# The names differ from file to file: of two of a name Docker Compose takes the tags of the wrong one.
EXTENDED = {COMMON: ("base", "root"), DEEP: ("ground", "rock")}


def projects(count: int, seed: int) -> list[Case]:
    """The projects, their names are numbers."""
    return [_Project(random.Random(f"{seed} {number}")).case(str(number)) for number in range(count)]


class _Project:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def case(self, name: str) -> Case:
        files = {"a.yaml": self.file(first=True), COMMON: self.common(), "lib/deep.yaml": self.deep()}
        later = "bc"[: self.chance.randrange(3)]
        files |= {f"{letter}.yaml": self.file(first=False) for letter in later}
        files |= {".env": "P=7070\nA=al\n"} if self.often(0.3) else {}
        files |= {"lib/.env": "P=6060\nDNS=8.8.8.8\n"} if self.often(0.3) else {}
        words = ["--profile", self.chance.choice("pq*")] if self.often(0.3) else []
        words += [word for letter in ("a", *later) for word in ("-f", f"{letter}.yaml")]
        environment = {name: value for name, value in VARIABLES.items() if self.often(0.5)}
        return Case("projects", name, files, words, environment, "", None)

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    def some(self, values: Sequence[str], most: int = 2) -> list[str]:
        return self.chance.sample(values, self.chance.randrange(most + 1))

    # -------------------------------------------------------------- files

    def file(self, *, first: bool) -> str:
        names = SERVICES if first else self.chance.sample(SERVICES, self.chance.randrange(1, 4))
        head = f"name: {self.chance.choice(('shop', 'Big-Shop', 'x${N:-nn}'))}\n" if self.often(0.15) else ""
        head += f"include: [{COMMON}]\n" if self.often(0.1) else ""
        services = "".join(f"  {n}: {self.service(names[:i], COMMON, first)}\n" for i, n in enumerate(names))
        networks = ("n", "m", "default") if first else self.some(("n", "m", "default"))
        return f"{head}services:\n{services}networks: {self.mapping([f'{n}: {self.network()}' for n in networks])}\n"

    def common(self) -> str:
        base, root = self.service((), DEEP, True), self.service(("base",), DEEP, True)
        return f"services:\n  base: {base}\n  root: {root}\n"

    def deep(self) -> str:
        return f"services:\n  ground: {self.service((), '', True)}\n  rock: {{image: y}}\n"

    # -------------------------------------------------------------- services and networks

    def service(self, others: Sequence[str], file: str, whole: bool) -> str:
        parts: tuple[tuple[str, float, Callable[[], str]], ...] = (
            ("ports", 0.5, lambda: self.listed(self.some(PORTS, 3))),
            ("networks", 0.4, self.joined),
            ("dns", 0.3, lambda: self.texts(("1.1.1.1", "2.2.2.2", "$DNS", '"${DNS:-}"'))),
            ("dns_search", 0.15, lambda: self.texts(("x", "y"))),
            ("extra_hosts", 0.3, lambda: self.pairs(HOSTS, ":=")),
            ("sysctls", 0.3, lambda: self.pairs(SETTINGS, "=")),
            ("hostname", 0.2, lambda: self.chance.choice(("h", '"${H:-i}"', '"$$x"', '"${E-}"'))),
            ("profiles", 0.08, lambda: self.chance.choice(("[p]", "[q]", "[p, q]"))),
            ("mac_address", 0.1, lambda: self.chance.choice(('"02:00:00:00:00:01"', '"02:00:00:00:00:02"'))),
            ("network_mode", 0.02, lambda: self.chance.choice(("host", "none"))),
        )
        entry = ["image: x"] if whole else []
        entry += [f"{word}: {self.tagged(value())}" for word, share, value in parts if self.often(share)]
        if others and self.often(0.3):
            entry.append(f"extends: {self.chance.choice(others)}")
        elif file and self.often(0.15):
            entry.append(f"extends: {{file: {file}, service: {self.chance.choice(EXTENDED[file])}}}")
        if others and self.often(0.1):
            entry.append(f"depends_on: [{self.chance.choice(others)}]")
        return self.mapping(entry)

    def joined(self) -> str:
        names = self.some(("n", "m", "default"))
        return self.listed(names) if self.often(0.5) else self.mapping([f"{name}: {self.endpoint()}" for name in names])

    def endpoint(self) -> str:
        entry = [f"aliases: {self.listed(self.some(ALIASES))}"] if self.often(0.4) else []
        entry += [f"ipv4_address: 10.0.0.{self.chance.randrange(5, 7)}"] if self.often(0.3) else []
        return self.mapping(entry) if entry else self.chance.choice(("null", "{}"))

    def network(self) -> str:
        aux = f"aux_addresses: {{a: 10.0.0.{self.chance.randrange(5)}}}"
        more = self.chance.choice(("", ", gateway: 10.0.0.9", f", {aux}"))
        parts = (
            ("internal", 0.3, self.chance.choice(("true", "false", "yes", '"${I:-on}"'))),
            ("enable_ipv6", 0.2, "true"),
            ("driver_opts", 0.2, self.tagged(self.chance.choice(('{a: "1"}', "{b: 2}", "{a: x, b: y}")))),
            ("ipam", 0.3, f"{{config: {self.tagged(f'[{{subnet: 10.{self.chance.randrange(2)}.0.0/24{more}}}]')}}}"),
            ("name", 0.1, self.chance.choice(("x", '"${X:-y}"'))),
        )
        entry = [f"{word}: {value}" for word, share, value in parts if self.often(share)]
        return self.mapping(entry) if entry else self.chance.choice(("null", "{}"))

    # -------------------------------------------------------------- forms

    def texts(self, values: Sequence[str]) -> str:
        return self.chance.choice(values) if self.often(0.3) else self.listed(self.some(values))

    def pairs(self, pairs: Sequence[tuple[str, str]], signs: str) -> str:
        chosen = self.chance.sample(pairs, self.chance.randrange(1, 4))
        if self.often(0.5):
            return self.listed([f'"{key}{self.chance.choice(signs)}{value}"' for key, value in chosen])
        return self.mapping([f'{key}: "{value}"' for key, value in dict(chosen).items()])

    def tagged(self, text: str) -> str:
        return self.chance.choice((*[""] * 8, "!override ", "!reset ")) + text

    def listed(self, values: Sequence[str]) -> str:
        return f"[{', '.join(values)}]"

    def mapping(self, entries: Sequence[str]) -> str:
        return f"{{{', '.join(entries)}}}"
