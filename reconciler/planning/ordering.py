"""A stable topological sort that reports cycles."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import Any, TypeVar

Node = TypeVar("Node", bound=Hashable)


class Cycle(ValueError):
    """Nodes that need each other in a ring; ``ring`` lists them in order."""

    def __init__(self, ring: list[Any]) -> None:
        super().__init__(" needs ".join(str(node) for node in ring))
        self.ring = ring


def levels(needs: Mapping[Node, Iterable[Node]], rank: Callable[[Node], Any]) -> list[list[Node]]:
    """The nodes in levels: each needs only nodes of earlier levels; within a level they are sorted by ``rank``.

    A need that is no node counts as met.  Raises Cycle.
    """
    inner = {node: [other for other in needed if other in needs and other != node] for node, needed in needs.items()}
    needed = set(chain.from_iterable(inner.values()))
    alone = [node for node, others in inner.items() if not others and node not in needed]  # thousands of ports
    sorter: TopologicalSorter[Node] = TopologicalSorter()
    for node, others in inner.items():
        if others or node in needed:
            sorter.add(node, *others)
    try:
        sorter.prepare()
    except CycleError as error:
        raise Cycle(list(error.args[1])) from None
    stages: list[list[Node]] = []
    while alone or sorter.is_active():
        ready = sorter.get_ready()
        sorter.done(*ready)
        stages.append(sorted((*ready, *alone), key=rank))
        alone = []
    return stages
