"""A secret attribute is compared and sent, and never shown, logged or written to disk."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from reconciler.cli import as_json
from reconciler.cli import differences as attribute_differences
from reconciler.kernel.netlink import decode, encode_fast
from reconciler.kinds.fields import declared, lost_secrets
from reconciler.kinds.links import requests
from reconciler.kinds.links.link import Link
from reconciler.kinds.links.link_kind import link_kind
from reconciler.language import document, schema
from reconciler.model.attributes import Table, Tables, flag, nested, text, u32
from reconciler.model.changes import Change, Live
from reconciler.model.data import dataclass
from reconciler.model.errors import Failure
from reconciler.model.keys import Key
from reconciler.model.requests import Netlink
from reconciler.model.secret import Secret
from reconciler.planning.apply import Failed
from reconciler.planning.diff import differences
from reconciler.safety import codec, rollback

DATA = Table(
    u32("port", 1), text("token", 2, secret=True), nested("inner", 3, text("key", 1, secret=True), flag("on", 2))
)
WORD = "hunter2"


@dataclass(frozen=True, slots=True)
class Tunnel(Link):
    port: int | None = None
    token: Secret | None = None
    inner: tuple[tuple[str, Secret | bool], ...] | None = None


KIND = link_kind(name="tunnel", section="tunnels", rtnl="tunnel", form=Tunnel, data=DATA)
ONE = Tunnel("host", "t0", token=Secret(WORD), inner=(("key", Secret(WORD)), ("on", True)))


def hidden(shown: Any) -> None:
    assert WORD not in (shown if isinstance(shown, str) else repr(shown))


def test_two_secrets_are_compared_by_what_they_are() -> None:
    assert Secret(WORD) == Secret(WORD) == Secret.remembered(Secret(WORD).digest)
    assert Secret(WORD) != Secret("other")
    assert Secret(WORD) != WORD
    assert len({Secret(WORD), Secret(WORD), Secret("other")}) == 2


def test_a_secret_has_no_text_but_its_digest() -> None:
    for shown in (str(ONE), repr(ONE), f"{ONE.token}", f"{ONE.token!r}", json.dumps(ONE.token, default=str)):
        hidden(shown)
    assert str(ONE.token).startswith("secret sha256:")


def test_what_a_plan_shows_of_it() -> None:
    shown = KIND.shown(ONE)
    hidden(shown)
    assert shown["token"] == str(Secret(WORD))
    assert shown["inner"] == {"key": str(Secret(WORD)), "on": True}


def test_a_change_of_it_is_a_difference_in_digests(capsys: pytest.CaptureFixture[str]) -> None:
    other = Tunnel("host", "t0", token=Secret("other"))
    assert differences(KIND, other, ONE) == ("token",)
    assert differences(KIND, declared(other, other), other) == ()
    lines = list(attribute_differences.lines({"token": Secret(WORD)}, {"token": Secret("other")}))
    assert lines == [f"token: {Secret(WORD)} → {Secret('other')}"]
    as_json.write({"before": dict(KIND.shown(ONE)), "raw": ONE.token})
    hidden(capsys.readouterr().out)


def test_it_is_sent_and_read_as_it_is() -> None:
    (made, _stamp) = KIND.create(ONE, "t")
    assert isinstance(made, Netlink)
    hidden(made)
    message = encode_fast.encode(made, lambda _: 7)
    assert message is not None
    assert WORD.encode() in message
    row = decode.link(message[16:], Tables(own={"tunnel": DATA}))
    assert row.data == {"token": Secret(WORD), "inner": (("key", Secret(WORD)), ("on", True))}
    hidden(row)
    assert row.data["token"].reveal() == WORD


def test_the_disk_keeps_the_digest_alone() -> None:
    plain = json.dumps(codec.encode(ONE))
    hidden(plain)
    back = codec.decode(Tunnel, json.loads(plain))
    assert back == ONE
    assert lost_secrets(back) == {"token", "inner"}
    assert lost_secrets(ONE) == frozenset()
    with pytest.raises(LookupError):
        back.token.reveal()


def test_what_is_lost_is_not_sent() -> None:
    back = codec.decode(Tunnel, codec.encode(Tunnel("host", "t0", port=5, token=Secret(WORD))))
    assert requests.of_table(DATA, {"port": 5, "token": back.token}) == ((DATA["port"], 5),)


def test_a_rollback_says_what_it_cannot_give_back() -> None:
    now = Tunnel("host", "t0", token=Secret("other"))
    back = codec.decode(Tunnel, codec.encode(Tunnel("host", "t0", token=Secret(WORD))))
    change = Change("update", Key("tunnel", "host", "t0"), now, back, ("token",), "disruptive", "t", None)
    assert rollback._only_secrets(change)
    failure = rollback._reason(change)
    assert failure == Failure(errno.ENOTSUP, "token is secret and was not kept on disk; apply its topology again")
    hidden(as_json.undone([], [Failed(change, failure)]))
    kept = Change("update", change.key, now, Tunnel("host", "t0", token=Secret(WORD)), ("token",), "none", "t", None)
    assert not rollback._only_secrets(kept)  # in memory it is still known
    assert not rollback._only_secrets(Change("delete", change.key, now, None, (), "none", "t", None))


def test_a_secret_needs_a_field_that_hides_it() -> None:
    @dataclass(frozen=True, slots=True)
    class Open(Link):
        token: str | None = None

    with pytest.raises(TypeError, match="token is secret"):
        link_kind(name="open", section="opens", rtnl="open", form=Open, data=Table(text("token", 2, secret=True)))


@pytest.mark.parametrize("rule", [{"pattern": "^[a-f]+$"}, {"maxLength": 3}, {"enum": ["a", "hunter"]}])
def test_what_is_wrong_with_a_secret_is_told_without_it(monkeypatch: pytest.MonkeyPatch, rule: Any) -> None:
    word = {"type": "string", "writeOnly": True, "x-expected": "letters from a to f", **rule}
    whole = {**schema.bundle(), "properties": {**schema.bundle()["properties"], "x": {"$ref": "#/$defs/x"}}}
    whole["$defs"] = {**whole["$defs"], "x": {"properties": {"token": word}, "additionalProperties": False}}
    monkeypatch.setattr(schema, "bundle", lambda: whole)
    loaded = document.load("t.yaml", f"version: 1\nname: t\nx: {{token: {WORD}}}\n".encode())
    (problem,) = schema.check(loaded)
    hidden(str(problem))
    assert problem.message == "is not what this secret can be; write letters from a to f"


def test_an_object_with_a_secret_is_an_object_as_any_other() -> None:
    live = Live(ONE, "t")
    assert KIND.mask(Tunnel("host", "t0", port=4), live.object) == Tunnel("host", "t0")
    partly = Tunnel("host", "t0", inner=(("on", True),))
    assert differences(KIND, partly, ONE) == ()
    assert differences(KIND, Tunnel("host", "t0", inner=(("on", False),)), ONE) == ("inner",)
