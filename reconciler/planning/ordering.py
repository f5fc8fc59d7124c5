"""A stable topological sort that reports cycles."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
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
    if inner and not any(inner.values()):  # thousands of ports, for example
        return [sorted(inner, key=rank)]
    sorter: TopologicalSorter[Node] = TopologicalSorter(inner)
    try:
        sorter.prepare()
    except CycleError as error:
        raise Cycle(list(error.args[1])) from None
    stages: list[list[Node]] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=rank)
        stages.append(ready)
        sorter.done(*ready)
    return stages
