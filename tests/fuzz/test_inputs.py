"""Mutated topologies and Compose files end in a result or in an error for people, never in an unforeseen error.

NETRECON_FUZZ=3600 runs it for an hour instead of a minute; NETRECON_FUZZ_SEED repeats one.  A failure shows the input.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import pathlib
import random
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from pretended.host import Host
from pretended.seam import Pretended
from situations import CASES

from reconciler.cli import main
from reconciler.model.errors import NetreconError
from reconciler.planning.intent import to_have
from reconciler.run import importing, load, pipeline

SECONDS = float(os.environ.get("NETRECON_FUZZ", "60"))
SEED = int(os.environ.get("NETRECON_FUZZ_SEED", "0")) or random.randrange(1 << 32)
ROOT = pathlib.Path(__file__).parents[2]
TOPOLOGIES = sorted(ROOT.glob("topologies/*.yaml"))
COMPOSE = sorted(ROOT.glob("tests/cases/compose/*.yaml"))
SHARES = (
    ("a file as data", 0.35), ("a file as text", 0.15), ("a plan", 0.2), ("a Compose file", 0.1),
    ("several files", 0.05), ("an apply", 0.15),
)  # fmt: skip

STRANGE: tuple[Any, ...] = (
    *(None, True, False, {}, [], [[]], [None], {"": None}, {"a": {"b": None}}),
    *(0, -1, 1, 65535, 65536, 1 << 31, 1 << 32, 1 << 63, 1 << 64, -(1 << 63), 1.5, 1e308),
    *("", " ", "x", "host", ".", "..", "/", "a/b", "a" * 15, "a" * 16, "a" * 300, "é" * 8, "\0", "\n", "a\tb", "%s"),
    *("0.0.0.0", "::", "127.0.0.1", "::1", "::ffff:1.2.3.4", "fe80::1", "fe80::1%x", "ff02::1", "224.0.0.1", "1.2.3"),
    *("10.0.0.0/0", "10.0.0.0/33", "10.0.0.1/-1", "10.0.0.0/24/24", "::/0", "::/129", "10.0.0.1/24", "default", "0/0"),
    *("80", "80:80", "0:1.2.3.4:0", "1-0:1.2.3.4:80", "1-65535:1.2.3.4:1-65535", "[::]:80:[::1]:80", "[", ":", "/udp"),
    *("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "01:00:5e:00:00:01", "2:0:0:0:0:1", "a:b:c:d/e"),
    *("net.ipv4.ip_forward", "net", "net..x", "net.ipv4.conf.all.x", "net/ipv4", "1 2 3", "yes", "no", "~", "0x10"),
)
TOKENS = (
    *(
        "\n",
        "  ",
        "\t",
        ": ",
        "- ",
        "? ",
        "|",
        ">",
        "'",
        '"',
        "#",
        "&a ",
        "*a",
        "<<: *a",
        "!!str ",
        "!x ",
        "---",
        "...",
    ),
    *("{", "}", "[", "]", ",", "\0", "\x7f", "\ufeff", "\u2028", "é", "version: 1", "name: x", "null", "~", ".inf"),
)


def corpus() -> list[dict[str, Any]]:
    """Every topology that the project has and that is short: long ones only take longer."""
    listed = [
        yaml.load(path.read_text(), yaml.CSafeLoader)
        for path in (*TOPOLOGIES, *ROOT.glob("tests/cases/lowering/*.yaml"))
    ]
    cases = [yaml.load(path.read_text(), yaml.CSafeLoader) for path in CASES]
    situations = [case[word] for case in cases for word in ("given", "wanted") if isinstance(case.get(word), dict)]
    known = [data.get("topology", data) for data in listed if isinstance(data, dict)]
    short = [data for data in (*known, *situations) if len(json.dumps(data)) < 3000]
    return [{"version": 1, "name": "fuzz", **data} for data in short]


# ------------------------------------------------------------------ mutations


class Mutator:
    def __init__(self, chance: random.Random, known: list[dict[str, Any]]) -> None:
        self.chance, self.known = chance, known
        self.keys = sorted({key for data in known for _, key in _places(data) if isinstance(key, str)})

    def topology(self) -> dict[str, Any]:
        data = copy.deepcopy(self.chance.choice(self.known))
        for _ in range(self.chance.choice((1, 1, 1, 2, 3, 6))):
            self._change(data)
        return data

    def _change(self, data: Any) -> None:
        places = list(_places(data))
        if not places:
            return
        holder, key = self.chance.choice(places)
        match self.chance.randrange(9):
            case 0:
                del holder[key]
            case 1 | 2 | 3:
                holder[key] = copy.deepcopy(self.chance.choice(STRANGE))
            case 4:  # a part of any other topology
                other, place = self.chance.choice(list(_places(self.chance.choice(self.known))))
                holder[key] = copy.deepcopy(other[place])
            case 5:
                holder[key] = _nested(holder[key], self.chance.choice((1, 2, 60)), self.chance.random() < 0.5)
            case 6 if isinstance(holder, dict):
                holder[self.chance.choice(self.keys)] = holder.pop(key)
            case 7 if isinstance(holder, dict):
                holder[str(self.chance.choice(STRANGE))] = copy.deepcopy(holder[key])
            case _:
                self._longer(holder, key)

    def _longer(self, holder: Any, key: Any) -> None:
        if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(self.chance.choice([*holder, *STRANGE])))
        elif isinstance(holder[key], str):
            at = self.chance.randrange(len(holder[key]) + 1)
            holder[key] = holder[key][:at] + str(self.chance.choice(STRANGE)) + holder[key][at:]
        elif isinstance(holder[key], int):
            holder[key] = holder[key] * self.chance.choice((-1, 2, 10, 1 << 16)) + self.chance.choice((-1, 0, 1))

    def text(self) -> str:
        chance = self.chance
        text = chance.choice(TOPOLOGIES).read_text() if chance.random() < 0.5 else json.dumps(chance.choice(self.known))
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.randrange(len(text) + 1)
            end = min(len(text), at + chance.choice((0, 1, 1, 5, 40)))
            middle = chance.choice((chance.choice(TOKENS), "", text[at:end] * 2, chr(chance.randrange(256))))
            text = text[:at] + middle + text[end:]
        return text


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield data, key
        yield from _places(data[key])


def _nested(value: Any, depth: int, in_list: bool) -> Any:
    for _ in range(depth):
        value = [value] if in_list else {"a": value}
    return value


# ------------------------------------------------------------------ the target


def test_no_mutated_input_ends_in_an_unforeseen_error(pretended: Pretended, tmp_path: pathlib.Path) -> None:
    chance = random.Random(SEED)
    mutator = Mutator(chance, corpus())
    file = tmp_path / "fuzz.yaml"
    kernel = pipeline_kernel(pretended)

    def compose() -> None:
        data = yaml.load(chance.choice(COMPOSE).read_text(), yaml.CSafeLoader)
        mutator._change(data)
        file.write_text(json.dumps(data, default=str))
        importing.compose(importing.Asked([str(file)]))

    def planned() -> None:
        file.write_text(json.dumps(mutator.topology()))
        pipeline.plan(kernel, to_have(load.load([str(file)])))

    def checked(text: Callable[[], str]) -> None:
        file.write_bytes(text().encode("utf-8", "surrogatepass"))
        load.load([str(file)])

    def together() -> None:
        files = [file, tmp_path / "other.yaml"]
        for one in files:
            one.write_text(json.dumps({**mutator.topology(), "name": one.stem}))
        pipeline.plan(kernel, to_have(load.load([str(one) for one in files])))

    def applied() -> None:
        """What validates is applied whole, refused, or gone back from; then it is deleted."""
        file.write_text(json.dumps({**mutator.topology(), "name": "fuzz"}))
        load.load([str(file)])
        for words in (["apply", "--debug", "-q", str(file)], ["delete", "--debug", "-q", "--force", "--name", "fuzz"]):
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                code = main.main(words)
            if code not in (0, 1, 3):
                raise AssertionError(f"{words[0]}: exit {code}: {out.getvalue()}")
        pretended.host = Host()

    targets: dict[str, Callable[[], None]] = {
        "several files": together,
        "an apply": applied,
        "a file as data": lambda: checked(lambda: json.dumps(mutator.topology())),
        "a file as text": lambda: checked(mutator.text),
        "a plan": planned,
        "a Compose file": compose,
    }
    names, weights = zip(*SHARES, strict=True)
    tried, refused, end = 0, 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        name = chance.choices(names, weights)[0]
        tried += 1
        try:
            targets[name]()
        except NetreconError as error:
            refused += bool(str(error))
        except Exception:
            told = f"seed {SEED}, input {tried}, {name}:\n{file.read_bytes().decode('utf-8', 'replace')}"
            pytest.fail(f"{told}\n{traceback.format_exc()}")
    print(f"{tried} inputs, of which {refused} are refused; seed {SEED}")
    assert 0 < refused < tried


def pipeline_kernel(pretended: Pretended) -> Any:
    from reconciler.run import host

    assert pretended
    return host.kernel()
