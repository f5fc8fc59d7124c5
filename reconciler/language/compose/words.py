"""Reads values of a Compose file, which has several spellings for most, and lists what is left out of the topology."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from reconciler.model.data import NamedTuple
from reconciler.model.errors import Problem
from reconciler.model.keys import Origin
from reconciler.model.quoting import Path, quoted

LOST, NOTED, BESIDE = "lost", "noted", "beside"


class LeftOut(NamedTuple):
    """A part of the file that the topology does not have.

    ``weight``: LOST is a part of the network; NOTED has no effect with Docker either, or an equal one here; BESIDE is
    not about the network, such as an image.  ``words`` are the keys of the file that it concerns.
    """

    problem: Problem
    weight: str
    words: tuple[str, ...] = ()


class Left:
    """Collects what is left out, and what is wrong with the file, each with its place."""

    def __init__(self, place: Callable[[Path], Origin]) -> None:
        self.place = place
        self.parts: dict[LeftOut, None] = {}

    def lost(self, path: Path, why: str) -> None:
        self._add(path, why, LOST)

    def noted(self, path: Path, why: str) -> None:
        self._add(path, why, NOTED)

    def beside(self, path: Path, names: Iterable[str]) -> None:
        """Add one part for keys of a mapping that are not about the network."""
        listed = tuple(names)
        if listed:
            self._add(path, f"no equivalent in a topology: {', '.join(listed)}", BESIDE, listed)

    def keys(self, path: Path, entry: Mapping[str, Any], known: Collection[str], others: Collection[str] = ()) -> None:
        """Add one part for the keys that are among the ``others``, and one for each that Compose does not know."""
        self.beside(path, (name for name in entry if name in others))
        for name in (str(name) for name in entry if name not in known and name not in others):
            if not name.startswith("x-"):
                self.lost((*path, name), f"Compose knows no key {quoted(name)}; {_near(name, known)}it is left out")

    def _add(self, path: Path, why: str, weight: str, words: tuple[str, ...] = ()) -> None:
        self.parts[LeftOut(Problem(self.place(path), why), weight, words)] = None


def _near(name: str, known: Collection[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, known, 1)
    return f"did you mean {quoted(close[0])}? " if close else ""


def mapping(value: Any, path: Path, left: Left) -> Mapping[str, Any]:
    """The value where it is a mapping, else {}; anything but None is added to ``left``."""
    if value is None or isinstance(value, dict):
        return value or {}
    left.lost(path, f"{quoted(value)} is not a mapping")
    return {}


def words(value: Any, path: Path, left: Left) -> list[str]:
    """A word or a list of words, as a list of texts."""
    listed = value if isinstance(value, list) else [] if value is None else [value]
    scalars = [scalar(item, (*path, index), left) for index, item in enumerate(listed)]
    return [str(item) for item in scalars if item is not None]


def scalar(value: Any, path: Path, left: Left) -> Any:
    """A text, number or boolean; None for anything else, which is added to ``left``."""
    if isinstance(value, dict | list):
        left.lost(path, f"{quoted(value)} is not one value")
        return None
    return value


def text(value: Any, path: Path, left: Left) -> str:
    """A scalar as text, "" for none."""
    one = scalar(value, path, left)
    return "" if one is None else str(one).strip()


def number(value: Any) -> int:
    """A whole number, 0 for anything else."""
    try:
        return int(str(value))
    except ValueError:
        return 0


def truth(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "yes", "t", "on", "y")


def pairs(value: Any, path: Path, left: Left, separator: str = "=") -> list[tuple[str, Any, Path]]:
    """(key, value, path) of a mapping, or of a list of ``key=value``."""
    if isinstance(value, dict):
        return [(str(key), item, (*path, key)) for key, item in value.items()]
    texts = enumerate(words(value, path, left))
    return [(key, item, (*path, index)) for index, one in texts for key, _, item in [one.partition(separator)]]
