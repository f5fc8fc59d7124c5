"""Asks Docker Compose what it says of the projects in tests/cases/compose/reading, and keeps its answers beside them.

    python scripts/compose_answers.py /path/to/docker-compose [TOPIC]...

The answers in the repository are those of Debian 13's docker-compose 2.26.1-4; it need not be installed, unpacking the
package is enough, and no daemon runs for ``config``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import compose_cases as known  # noqa: E402
import compose_projects  # noqa: E402

UNSET = "<unset>"
KEYS = ("A", "B", "C", "SET", "UNSET", "EMPTY")


def ask(program: str, case: known.Case) -> Any:
    """The reduced answer, or {"refused": the words of Docker Compose}; with them the variables that it warns of."""
    with tempfile.TemporaryDirectory() as folder:
        root = case.write(Path(folder))
        environment = {"PATH": os.environ["PATH"], "HOME": folder, **case.environment}
        ran = subprocess.run(
            [program, *case.arguments, "config", "--format", "json"],
            cwd=root, env=environment, input=case.stdin, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    if ran.returncode:
        return {"refused": " ".join(_words(ran.stderr.replace(str(root), "."))).strip()}
    unset = sorted(set(re.findall(r'The \\"(\w+)\\" variable is not set', ran.stderr)))
    config = json.loads(ran.stdout.replace("$$", "$"))
    return {"config": config, **({"unset": unset} if unset else {})}


def _words(stderr: str) -> Iterator[str]:
    return (line for line in stderr.splitlines() if not line.startswith("time="))


def project(program: str, case: known.Case) -> Any:
    """The answer to a case."""
    said = ask(program, case)
    if "config" in said:
        said = {"answer": known.reduced(said.pop("config")), **said}
    return said


def whole(program: str, case: known.Case) -> Any:
    """A generated project with the answer to it."""
    given = {word: getattr(case, word) for word in ("name", "files", "arguments", "environment")}
    return {**given, "said": project(program, case)}


def expression(program: str, text: str) -> Any:
    """What a text becomes; None where it is refused."""
    file = json.dumps({"services": {}, "x-text": text})
    case = known.Case("", "", {"c.yaml": file}, ["-f", "c.yaml"], known.VARIABLES, "", None)
    said = ask(program, case)
    return said["config"]["x-text"] if "config" in said else None


def env_file(program: str, text: str) -> Any:
    """The variables of a .env file; None where it is refused."""
    file = json.dumps({"services": {}, "x-text": {key: f"${{{key}-{UNSET}}}" for key in KEYS}})
    case = known.Case("", "", {"c.yaml": file, ".env": text}, ["-f", "c.yaml"], {"SET": "value", "EMPTY": ""}, "", None)
    said = ask(program, case)
    return {k: v for k, v in said["config"]["x-text"].items() if v != UNSET} if "config" in said else None


def keep(name: str, data: Any) -> None:
    """Write one file of answers, one a line."""
    entries = data.items() if isinstance(data, dict) else data
    lines = [json.dumps(entry, ensure_ascii=False) for entry in entries]
    (known.ANSWERS / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


GENERATED = {
    "expressions": (expression, lambda: known.expressions(1500, seed=1)),
    "env_texts": (env_file, lambda: known.env_texts(1000, seed=1)),
}


def main(program: str, *wanted: str) -> None:
    """Ask about the topics, or about all."""
    known.ANSWERS.mkdir(exist_ok=True)
    topics: dict[str, list[known.Case]] = {}
    for case in known.cases():
        topics.setdefault(case.topic, []).append(case)
    with ThreadPoolExecutor(2) as pool:
        for topic in wanted or (*topics, "projects", *GENERATED):
            if topic in topics:
                said = pool.map(lambda case: project(program, case), topics[topic])
                keep(topic, dict(zip([case.name for case in topics[topic]], said, strict=True)))
            elif topic == "projects":
                keep(topic, pool.map(partial(whole, program), compose_projects.projects(200, seed=1)))
            else:
                ask_one, texts = GENERATED[topic]
                listed = texts()
                keep(topic, list(zip(listed, pool.map(partial(ask_one, program), listed), strict=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
