"""Processes that listen on a port that a topology publishes: the packets go to its target instead."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any

from reconciler.kinds import BY_NAME
from reconciler.model import data as dataclasses
from reconciler.model.keys import Key
from reconciler.model.rows import Listener, Surroundings
from reconciler.planning.finding import Finding


def on_published_ports(
    around: Surroundings, sending: Iterable[tuple[Key, Any]], taken: Container[Key] = ()
) -> Iterator[Finding]:
    """A finding for each; to the ports that are ``taken`` come no packets that netrecon could send to its target."""
    by_port: dict[tuple[str, int], list[Listener]] = {}
    for listener in around.listeners:
        by_port.setdefault((listener.protocol, listener.port), []).append(listener)
    if not by_port:
        return
    for key, mapped in sending:
        if BY_NAME[key.kind].publishes:
            for listener in by_port.get((mapped.protocol, mapped.port), ()):
                if _same_place(mapped.listen, listener):
                    yield _listener(key, mapped, listener, key in taken)


def published_twice(found: Iterable[Finding], listening: Iterable[Finding]) -> Iterator[Finding]:
    """The findings; where a process listens on a port that is taken, a person must decide whose port it is."""
    keys = {one.key for one in listening}
    hint = "two services have this port: publish one of them on another port, or remove it"
    for one in found:
        twice = one.topic == "taken" and not keys.isdisjoint({one.key, *one.shut})
        yield dataclasses.replace(one, hint=hint, commands=()) if twice else one


def _same_place(listen: str, listener: Listener) -> bool:
    six = ":" in listener.address
    if ":" not in listen:
        everywhere = listener.address == "0.0.0.0" or (listener.address == "::" and not listener.only6)
        return everywhere or (not six and listen in ("0.0.0.0", listener.address))
    # packets to ::1 are never translated
    return six and listener.address != "::1" and (listener.address == "::" or listen in ("::", listener.address))


def _listener(key: Key, mapped: Any, listener: Listener, taken: bool) -> Finding:
    who = f"{listener.process} (pid {listener.pid})" if listener.pid else "a process"
    at = f"[{listener.address}]" if ":" in listener.address else listener.address
    target = f"[{mapped.target}]" if ":" in mapped.target else mapped.target
    message = f"{who} listens on {at}:{listener.port}, but what comes to the published port goes to "
    message += "where the rule of others sends it" if taken else f"{target}:{mapped.target_port}"
    return Finding(key.scope, "listener", key, message, "stop it, or publish another port")
