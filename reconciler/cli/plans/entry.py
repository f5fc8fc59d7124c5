"""An entry: what the user wrote as one thing, such as a network, a sandbox, a namespace or a bridge."""

from __future__ import annotations

from reconciler.kinds import BY_NAME, KINDS
from reconciler.model.data import NamedTuple
from reconciler.model.keys import HOST, Key, Origin
from reconciler.model.quoting import Path

# Sections whose items are told together: neighbouring ones fold into one line.
FOLDED = {section: kind.name for kind in KINDS if kind.folded is not None for section in kind.sections}
_KINDS = {section: kind.name for kind in KINDS for section in kind.sections if len(kind.sections) == 1}
_LEVEL_TWO = {"networks": "network", "sandboxes": "sandbox"}
_WHOLE = ("topology",)  # of what belongs to a file as a whole


class Entry(NamedTuple):
    """An entry of a file, by its path there: ("sandboxes", "edge").  What is in no file any more has no ``file``."""

    owner: str
    file: str
    path: Path

    @property
    def section(self) -> str:
        """What several of them are: sandboxes, port maps."""
        return str(self.path[0]).replace("_", " ")

    @property
    def what(self) -> str:
        """What it is, as a word: sandbox, bridge, port map."""
        section = str(self.path[0])
        return (_LEVEL_TWO.get(section) or _KINDS.get(section, section)).replace("_", " ")

    @property
    def level_two(self) -> bool:
        """Whether objects of several kinds are made from it."""
        return self.path[0] in _LEVEL_TWO

    @property
    def home(self) -> str:
        """The scope in which what it names is: of a namespace and a sandbox its own."""
        return str(self.path[1]) if self.path[0] in ("namespaces", "sandboxes") and len(self.path) > 1 else HOST


Identity = tuple[str, str, Path]  # an Entry without its name: equal to it, and made in a third of its time


def entry_at(origin: Origin, owner: str) -> Identity:
    """The entry that a place in a file belongs to."""
    path = origin.path
    return owner, origin.file, (path[:1] if path[0] in FOLDED else path[:2]) if path else _WHOLE


def gone(key: Key, owner: str) -> Entry:
    """The entry of an object that is in no file any more."""
    sections = BY_NAME[key.kind].sections
    section = sections[0] if len(sections) == 1 else key.kind
    return Entry(owner, "", (section,) if section in FOLDED else (section, key.name))
