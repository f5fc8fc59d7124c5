"""``link_kind``: makes a kind of link from the table of its own attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from reconciler.kinds import sysctl
from reconciler.kinds.around import Around
from reconciler.kinds.context import Entry, Names, Noting, Parsed, Reading, Source
from reconciler.kinds.fields import attributes
from reconciler.kinds.kind import Kind
from reconciler.kinds.links import borrowed, bridge_ports, cuts, disrupts, effects, going_back, link, requests, told
from reconciler.kinds.links.link import Link, Port
from reconciler.kinds.namespace import home
from reconciler.kinds.nat.target_links import publishers
from reconciler.model import data as dataclasses
from reconciler.model.attributes import Table, normal
from reconciler.model.changes import Change, Live
from reconciler.model.keys import STAMP, Key
from reconciler.model.quoting import Path
from reconciler.model.requests import Request
from reconciler.model.rows import LinkRow

Words = Mapping[str, Any]
# Reading -> a function of the row of a link and its record: words in place of those that the kernel shows
Looks = Callable[[Reading], Callable[[LinkRow, going_back.Noted], Words]]
Places = frozenset[tuple[str, str]]
LiesOn = Callable[[Any], Iterable[tuple[str, str]]]


def link_kind(
    *,
    name: str,
    section: str,
    rtnl: str,
    form: type[Link],
    data: Table | None = None,
    lies_on: LiesOn | None = None,
    disruptive_on: Iterable[str] = (),
    replace_on: Iterable[str] = (),
    explains: Table | None = None,
    looks: Looks | None = None,
    **own: Any,
) -> Kind:
    """A kind of link: ``form`` is the class of its objects, ``data`` are its attributes besides those of all links.

    A ``form`` derived from Port can be a port of a bridge.  A ``form`` with a field ``link`` lies on another link of
    its scope (IFLA_LINK).  ``disruptive_on`` are attributes in addition to those that disrupt the traffic of any
    link.  ``explains`` are attributes that are only read, for ``looks``, which corrects what the kernel shows.
    ``own`` are fields of Kind that replace the ones made here.  Raises TypeError if ``data`` does not fit
    ``form``.
    """
    made = _LinkKind(
        name,
        section,
        rtnl,
        form,
        Table() if data is None else data,
        lies_on,
        "port" in own,
        looks,
        frozenset(disruptive_on),
    )
    made.check_form()
    words: dict[str, Any] = {
        "schema": name,
        "parse": made.parse,
        "ends": made.ends,
        "check": made.check,
        "read": made.read,
        "settle": going_back.filled,
        "record": made.record,
        "recall": going_back.recall,
        "either": going_back.either,
        "needs": made.needs,
        "create": made.create,
        "update": made.update,
        "delete": delete,
        "adopt": adopt,
        "stamp": stamp,
        "restamp": requests.restamp,
        "rename": requests.rename,
        "links": links,
        "lies_on": made.places,
        "shown": made.shown,
        "told": made.told,
        "mask": made.mask,
        "without": made.without,
        "takes": effects.takes,
        "cuts": cuts.cuts,
        "disrupts": made.disrupts,
        "replace_on": frozenset(replace_on),
    }
    if explains is not None:
        words["explains"] = explains
    if made.has_lower:
        words["follows"] = follows
    if made.is_port:
        words |= {
            "imply": made.imply,
            "refused": bridge_ports.refused,
            "ports": link.ports,
        }
    return Kind(name, form, section=section, rtnl=rtnl, data=made.data, **{**words, **own})


class _LinkKind:
    """The functions of a kind of link, as methods that share its form and its table."""

    __slots__ = (
        *("data", "form", "has_lower", "has_ports", "inner", "is_port", "lies_on", "looks", "name", "rtnl", "section"),
        *("disruptive_on", "rounded"),
    )

    def __init__(
        self,
        name: str,
        section: str,
        rtnl: str,
        form: type[Any],
        data: Table,
        lies_on: LiesOn | None,
        has_ports: bool,
        looks: Looks | None,
        disruptive_on: frozenset[str],
    ) -> None:
        self.name, self.section, self.rtnl = name, section, rtnl
        self.form, self.data, self.lies_on, self.has_ports, self.looks = form, data, lies_on, has_ports, looks
        self.disruptive_on = disruptive_on
        self.inner = [attribute.word for attribute in data if attribute.inner is not None]
        self.rounded = {attribute.word: attribute.held for attribute in data if attribute.held is not None}
        self.is_port = issubclass(form, Port)
        self.has_lower = any(one.name == "link" for one in dataclasses.fields(form))

    def check_form(self) -> None:
        """Raise TypeError where the table does not fit the form: when the program starts, not at the first object."""
        types = {one.name: one.type for one in dataclasses.fields(self.form)}
        for attribute in self.data:
            if attribute.word not in types:
                raise TypeError(f"{self.form.__name__} has no field {attribute.word}")
            if attribute.secret and "Secret" not in str(types[attribute.word]):
                raise TypeError(f"{self.form.__name__}.{attribute.word} is secret: its type is Secret")

    # -------------------------------------------------------------- from the document

    def ends(self, source: Source) -> Iterator[Entry]:
        for name, entry in (source.data.get(self.section) or {}).items():
            yield Entry(source.scope, name, entry, (self.section, name))

    def parse(self, source: Source) -> Iterator[Parsed]:
        for entry in self.ends(source):
            words = {**link.parse_link(entry.words), **self._own_words(source, entry)}
            if self.is_port:
                words.update(link.parse_port(entry.words, ours=True))
            if self.has_lower:
                words["link"] = entry.words.get("link")
            made = self.form(source.scope, entry.name, **words)
            yield Key(self.name, source.scope, entry.name), made, source.at(entry.at)

    def _own_words(self, source: Source, entry: Entry) -> dict[str, Any]:
        words = {}
        for attribute in self.data:
            value = entry.words.get(attribute.word)
            try:
                words[attribute.word] = None if value is None else normal(attribute, value)
            except ValueError:
                shown = "it" if attribute.secret else f'"{value}"'
                source.problem((*entry.at, attribute.word), f"{shown} is not a value of {attribute.word}")
        return words

    def imply(self, names: Names) -> Iterator[Parsed]:
        """The links with hairpin mode where a port map needs it (see link.reflecting)."""
        for key in [key for key in names.objects if key.kind == self.name]:
            port = names.objects[key]
            published = publishers(names, key.scope)
            if port.hairpin is None and port.master in published:
                names.lines[key, "hairpin"] = names.origins[published[port.master]]
            yield key, link.reflecting(port, published), names.origins[key]

    def check(self, wanted: Any, names: Names) -> Iterator[tuple[Path, str]]:
        if self.is_port:
            yield from link.check_port(wanted, names)
        if self.has_lower and wanted.link and (wanted.scope, wanted.link) not in names.links:
            hint = link.nearest(wanted.link, wanted.scope, names)
            yield ("link",), f'no link "{wanted.link}" in {wanted.scope}{hint}'

    # -------------------------------------------------------------- from the kernel

    def read(self, reading: Reading) -> Iterator[tuple[Key, Live]]:
        scope = reading.state.scope
        corrected = self.looks(reading) if self.looks is not None else None
        for row in reading.state.links.values():
            if row.kind == self.rtnl and not borrowed.only_configured(reading, row, partial(self._keys, scope, row)):
                owner = link.owner_of(row, reading.owner, reading.exclusive)
                live = self.from_row(reading, row)
                if self.is_port and live.master and (lent := borrowed.lent(reading, row, owner, live.master)):
                    live = dataclasses.replace(live, lent=lent)
                noted = reading.noted.get(Key(self.name, scope, row.name))
                ours = noted is not None and noted.topology == owner
                if corrected is not None:
                    live = dataclasses.replace(live, **corrected(row, noted.record if noted and ours else {}))
                if noted is not None and ours:
                    births = {**going_back.births(reading.state, row), **self.births}
                    if self.has_ports and "mtu" in noted.record:
                        births["mtu"] = going_back.mtu_of_ports(reading, row)
                    live = dataclasses.replace(live, back=going_back.back(live, noted.record, births))
                yield Key(self.name, scope, row.name), Live(live, owner, row.alias == STAMP + owner)

    def _keys(self, scope: str, row: LinkRow) -> tuple[Key]:
        return (Key(self.name, scope, row.name),)

    def from_row(self, reading: Reading, row: LinkRow) -> Any:
        """The link of a dumped row, with all attributes that the kernel shows."""
        scope = reading.state.scope
        words = {**link.read_link(row), **row.data}
        if self.is_port:
            words.update(link.read_port(reading.state, row))
        if self.has_lower:
            words["below"] = below = effects.below(reading, row)
            words["link"] = below[1] if below and below[0] == scope else ""
        return self.form(scope, row.name, **words)

    def mask(self, wanted: Any, live: Any) -> Any:
        """The live link with None in what ``wanted`` does not manage, within nested attributes too.

        A value that the kernel rounds to the one that it shows counts as that one.
        """
        masked = link.masked(wanted, live)
        values = {}
        for word in self.inner:
            if getattr(masked, word) is not None:
                values[word] = nested_like(getattr(wanted, word), getattr(live, word))
        for word, held in self.rounded.items():
            value, shown = getattr(wanted, word), getattr(masked, word)
            if value != shown and None not in (value, shown) and held(value) == shown:
                values[word] = value
        return dataclasses.replace(masked, **values) if values else masked

    def shown(self, device: Any) -> dict[str, Any]:
        """Its attributes for people, with nested attributes as mappings."""
        return {
            word: nested_words(self.data[word].inner, value) if word in self.data else value
            for word, value in attributes(device).items()
        }

    def told(self, device: Any, written: bool) -> told.Facts:
        return told.facts((device.scope, device.name), self.shown(device), written)

    @property
    def births(self) -> dict[str, Any]:
        """The attributes of a new link without any setting."""
        return {attribute.word: attribute.birth for attribute in self.data if attribute.birth is not None}

    def record(self, key: Key, wanted: Any, noting: Noting) -> dict[str, tuple[Any, Any]] | None:
        words = (*(attribute.word for attribute in self.data if not attribute.secret), *link.WORDS)
        live = noting.live.get(key)
        born_alike = self.births.keys() | going_back.BORN_ALIKE
        noted = noting.noted.get(key, {})
        record = going_back.of_ours(wanted, live.object if live else None, noted, words, born_alike)
        return {word: (before, self._held(word, value)) for word, (before, value) in record.items()} or None

    def _held(self, word: str, value: Any) -> Any:
        return self.rounded[word](value) if word in self.rounded else value

    # -------------------------------------------------------------- requests

    def create(self, wanted: Any, owner: str) -> Iterator[Request]:
        data = requests.of_table(self.data, link.changed(None, wanted, self.data.words))
        yield requests.born(wanted, self.rtnl, data, wanted.link or "" if self.has_lower else "")
        later = requests.port_after_birth(wanted) if self.is_port else {"up": wanted.up}
        yield from requests.set_link(wanted.scope, wanted.name, later | requests.birth_stamp(wanted, owner))

    def update(self, before: Any, after: Any, _owner: str) -> Iterator[Request]:
        data = requests.of_table(self.data, link.changed(before, after, self.data.words))
        yield from requests.set_data(after.scope, after.name, self.rtnl, data)
        yield from requests.set_link(after.scope, after.name, link.changed_end(before, after))

    def disrupts(self, change: Change, around: Around) -> str:
        words = [word for word in change.differs if word in self.disruptive_on]
        own = f"{', '.join(words)} of {change.key.name}" if words and change.action == "update" else ""
        return "; ".join(filter(None, [disrupts.disrupts(change, around), own]))

    # -------------------------------------------------------------- other links

    def needs(self, device: Any, names: Names) -> Iterator[Key]:
        yield from home(device.scope)
        yield from sysctl.before_links(device.scope, names)
        if self.is_port:
            yield from link.master_of(device, names)
        if self.has_lower and (device.scope, device.link) in names.links:
            yield names.links[device.scope, device.link]

    def places(self, device: Any) -> Iterable[tuple[str, str]]:
        """The links that it lies on, as (scope, name)."""
        if self.lies_on is not None:
            return self.lies_on(device)
        if device.below or not self.has_lower:
            return effects.lies_on(device)
        return ((device.scope, device.link),) if device.link else ()

    def without(self, live: Any, gone: Places) -> Any:
        """The link after others are deleted: a port without its bridge."""
        return link.off_lost_master(live, gone) if self.is_port else live


def follows(_held: Link) -> tuple[str, ...]:
    """The kernel lowers the MTU of a link with that of the link below."""
    return ("narrow",)


def nested_words(table: Table | None, value: Any) -> Any:
    """The pairs of a nested attribute as a mapping; any other value as it is."""
    return value if table is None else {word: nested_words(table[word].inner, inner) for word, inner in value}


def nested_like(wanted: Any, live: Any) -> Any:
    """The pairs of a live nested attribute whose words the wanted one has too; any other value as it is."""
    if not isinstance(wanted, tuple) or not isinstance(live, tuple):
        return live
    words = dict(wanted)
    return tuple((word, nested_like(words[word], value)) for word, value in live if word in words)


def delete(live: Link) -> Iterator[Request]:
    yield requests.delete_link(live.scope, live.name)


def adopt(live: Link, _wanted: Link, owner: str) -> Iterator[Request]:
    yield from requests.stamp(live, owner)


def stamp(live: Link) -> tuple[Any, ...]:
    return live.alias, live.group


def links(device: Link) -> tuple[tuple[str, str]]:
    return ((device.scope, device.name),)
