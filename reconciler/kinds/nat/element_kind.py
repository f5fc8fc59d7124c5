"""``element_kind``: makes a kind whose objects are elements in the sets of our nftables table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reconciler.kinds.context import Names
from reconciler.kinds.kind import NAME, NFT, Kind
from reconciler.kinds.nat import ruleset
from reconciler.kinds.nat.ruleset import Element
from reconciler.model import data as dataclasses
from reconciler.model.keys import Key
from reconciler.model.names import table_name
from reconciler.model.requests import NftLateElement, Request

Elements = Callable[[Any], list[Element]]
Words = Callable[[Any], Mapping[str, Any]]
Flows = Callable[[Any, Any], Iterable[Request]]


def element_kind(
    *,
    name: str,
    section: str,
    form: type[Any],
    elements: Elements,
    words: Words,
    flows: Flows = lambda _before, _after: (),
    **own: Any,
) -> Kind:
    """A kind of objects that are elements of a table; ``form`` needs the fields scope, table and damage.

    ``elements(object)`` are its elements, ``words(object)`` its attributes for people.
    ``flows(before, after)`` are requests that delete conntrack entries, which would keep existing connections on their
    old way; before or after is None where there is none.  ``own`` are further fields of Kind.
    """
    made = _ElementKind(elements, words, flows)
    functions: dict[str, Any] = {
        "needs": needs,
        "carrier": carrier,
        "ownership": NAME,
        "transaction": NFT,
        "features": ruleset.FEATURES,
        "create": made.create,
        "update": made.update,
        "adopt": made.adopt,
        "stamp": lambda live: live.table,
        "restamp": made.restamp,
        "of_owner": lambda live, owner: dataclasses.replace(live, table=table_name(owner)),
        "delete": made.delete,
        "shown": made.shown,
    }
    return Kind(name, form, schema=name, section=section, alone=True, **{**functions, **own})


class _ElementKind:
    """The functions of such a kind, as methods that share its elements and words."""

    __slots__ = ("elements", "flows", "words")

    def __init__(self, elements: Elements, words: Words, flows: Flows) -> None:
        self.elements, self.words, self.flows = elements, words, flows

    def create(self, after: Any, _owner: str) -> list[Request]:
        return [*ruleset.move(after.scope, after.table, (), self.elements(after)), *self.flows(None, after)]

    def update(self, before: Any, after: Any, _owner: str) -> list[Request]:
        return [*self._moved(before, self.elements(after), after.table), *self.flows(before, after)]

    def adopt(self, live: Any, wanted: Any, _owner: str) -> list[Request]:
        """From another topology's table into its own."""
        return self._moved(live, self._live(live), wanted.table)

    def restamp(self, now: Any, back: Any) -> list[Request]:
        return self._moved(now, self._live(now), back.table)

    def _moved(self, before: Any, after: list[Element], table: str) -> list[Request]:
        """Into another table it is added first and deleted from the old one in a second transaction.

        In a single one, a packet can meet the new table's chain before the element is there and the old table's when
        it is gone.
        """
        if before.table == table:
            return [*ruleset.move(before.scope, table, self._live(before), after)]
        gone = ruleset.move(before.scope, before.table, self._live(before), ())
        late = [NftLateElement(one.scope, one.table, one.set, one.action, one.text) for one in gone]
        return [*ruleset.move(before.scope, table, (), after), *late]

    def delete(self, before: Any) -> list[Request]:
        return [*ruleset.move(before.scope, before.table, self._live(before), ()), *self.flows(before, None)]

    def _live(self, live: Any) -> list[Element]:
        """The elements that the object really has in the kernel."""
        expected = self.elements(live)
        return ruleset.damaged(expected, live.damage) if live.damage else expected

    def shown(self, item: Any) -> dict[str, Any]:
        return {**self.words(item), **({"damage": ruleset.told(item.damage)} if item.damage else {})}


def carrier(item: Any) -> Key:
    return ruleset.table_key(item.scope, item.table)


def needs(item: Any, _names: Names) -> tuple[Key]:
    return (carrier(item),)
