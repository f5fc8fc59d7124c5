"""Whatever request the kernel refuses, in whatever situation: the host is as it was, or what is not is told."""

from __future__ import annotations

import errno
import json
import pathlib
import re
from typing import Any

import pytest
from pretended.host import Host
from pretended.picture import differences
from pretended.seam import Pretended, prepared_situation
from situations import CASES, name_of, read

from reconciler.model.errors import Failure
from reconciler.model.requests import Request

ERRNOS = (errno.ENOMEM, errno.EPERM, errno.EBUSY, errno.EEXIST, errno.EINVAL, errno.ENODEV)
# What is not put back yet, and why; such a test fails as soon as it is.
KNOWN: dict[str, str] = {}
ACTING = [
    pytest.param(path, id=name, marks=[pytest.mark.xfail(reason=KNOWN[name])] if name in KNOWN else [])
    for path in CASES
    if (name := name_of(path)) and read(path).get("plan")
]


class Refusing:
    """Refuses one request, by its number in the run."""

    def __init__(self, pretended: Pretended, number: int) -> None:
        self.at = len(pretended.sent) + number
        self.failure = Failure(ERRNOS[number % len(ERRNOS)], "made to fail")
        self.refused: Request | None = None
        pretended.fault = self

    def __call__(self, number: int, request: Request) -> Failure | None:
        if number != self.at:
            return None
        self.refused = request
        return self.failure


def followers(host: Host) -> set[tuple[str, str]]:
    """The bridges that have no MAC of their own."""
    found = ((scope, host.space(scope)) for scope in host.names)
    return {
        (scope, row.name)
        for scope, space in found
        for row in space.links.values()
        if row.kind == "bridge" and (row.index, "mac") not in space.own
    }


def shot(pretended: Pretended, following: set[tuple[str, str]]) -> dict[str, Any]:
    """The host, but for what the kernel does not take back either.

    It leaves 127.0.0.1 on a lo that goes down again; and a bridge without a MAC of its own loses the one it was
    born with as soon as a port comes, for ever.
    """
    kept, pretended.host = pretended.host, pretended.host.copy()
    for scope in pretended.host.names:
        space = pretended.host.space(scope)
        space.addresses = [row for row in space.addresses if row.address != "127.0.0.1/8"]
        for row in list(space.links.values()):
            if (scope, row.name) in following:
                space.change(row.index, mac="")
    try:
        return pretended.picture()
    finally:
        pretended.host = kept


def unnamed(different: list[str], left: list[dict[str, Any]]) -> list[str]:
    """The differences that no key of what was left names; settings go with their links."""
    names = {part for one in left for part in re.split("[/ ]", one["key"].split("/", 2)[2]) if part != "main"}
    return [line for line in different if " settings " not in line and not any(name in line for name in names)]


@pytest.mark.parametrize("path", ACTING)
def test_every_request_refused_once(
    path: pathlib.Path, pretended: Pretended, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next attempt starts from what was rolled back: so the last one shows that nothing stayed behind."""
    case = read(path)
    situation, file = prepared_situation(case, tmp_path, capsys, pretended)
    words = ["delete" if case.get("delete") else "apply", "--json", *situation.options, file]
    following = followers(pretended.host)
    before, records, saved = shot(pretended, following), pretended.records(), pretended.save()
    for number in range(1, 1000):
        refusing = Refusing(pretended, number)
        code, out, err = situation.run(*words)
        assert "Traceback" not in err
        told = out + err + str(refusing.refused)
        result = json.loads(out)["result"]
        different = differences(before, shot(pretended, following))
        if code == 0:  # none was refused, or it was made up for
            assert result["verified"], told
            if refusing.refused is None:
                return
            pretended.restore(saved)
        elif code == 3:
            assert (result["rolled_back"], different) == (True, []), told
            assert pretended.records() == records, told
        else:
            assert code == 4, told
            assert unnamed(different, result["not_undone"]) == [], told
            code, out, err = situation.run(*words)
            assert code == 0, told + out + err
            pretended.restore(saved)
    raise AssertionError("it never ends")
