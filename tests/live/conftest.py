"""Every live test gets a network and mounts of its own, and leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import oracle
import pytest
import throwaway

from reconciler.kernel.namespaces.worker import Kernel
from reconciler.kernel.netlink import decode, encode, encode_fast, reader
from reconciler.model.attributes import Tables


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    """The throwaway host; without root the test is skipped, and says so."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes network and mount namespaces")
    with throwaway.host():
        yield


@pytest.fixture(autouse=True)
def compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message that a live test reads is read by pyroute2 as well, and must come out the same."""
    for module, name in ((decode, "link"), (decode, "address"), (decode, "route"), (reader, "rule")):
        monkeypatch.setattr(module, name, _compared(name, getattr(module, name)))


@pytest.fixture(autouse=True)
def encoded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message that a live test encodes by struct is encoded by pyroute2 as well, and must be the same bytes."""
    by_struct = encode_fast.encode

    def checked(request: Any, resolve: Any) -> bytes | None:
        message = by_struct(request, resolve)
        spelt = oracle.spelt(request)
        if message is not None and spelt is not None:
            assert message == encode.encode_by_class(spelt, resolve), request
        return message

    monkeypatch.setattr(encode_fast, "encode", checked)


_seen: set[tuple[str, bytes, bool]] = set()  # pyroute2 takes 40 times as long: once for each message is enough


def _compared(name: str, decoder: Callable[..., Any]) -> Callable[..., Any]:
    def checked(body: bytes, tables: Tables | None = None) -> Any:
        read_by = () if tables is None else (tables,)
        row = decoder(body, *read_by)
        if (name, body, bool(tables)) not in _seen:
            oracle.compare(name, body, row, *read_by)
            _seen.add((name, body, bool(tables)))
        return row

    return checked


@pytest.fixture
def fresh_host() -> Callable[[], AbstractContextManager[None]]:
    """``with fresh_host():`` one more throwaway host within this one."""
    return throwaway.host


@pytest.fixture
def kernel(host: None) -> Iterator[Kernel]:
    with Kernel() as kernel:
        yield kernel


@pytest.fixture
def sh() -> Callable[[str], str]:
    """Run a shell command in the throwaway host."""
    return throwaway.sh


@pytest.fixture
def ip_json() -> Callable[[str], Any]:
    """``ip -j ARGUMENTS``, parsed."""
    return throwaway.ip_json


@pytest.fixture
def changes() -> Callable[..., Any]:
    """``changes(function, *scopes)``: its result, and the changes that the kernel announced meanwhile."""
    return throwaway.changes
