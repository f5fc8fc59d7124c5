"""Plans beside a live TCP session: the guard refuses exactly those after which it, or a new one, gets no answer."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from throwaway import inside, sh

from reconciler.cli import main
from reconciler.run import rehearsed_ways

pytestmark = pytest.mark.live
CASES = yaml.safe_load((pathlib.Path(__file__).parents[1] / "cases" / "sessions.yaml").read_text())
WORDS: dict[int, dict[str, str]] = {
    4: {
        "ip": "ip",
        "box_at": "10.7.0.2",
        "ours_at": "203.0.113.1",
        "side_at": "192.0.2.1",
        "family": "ipv4",
        "nodad": "",
        "far": "198.51.100.7",
        "far_net": "198.51.100.0/24",
        "near": "203.0.113.2",
        "ours": "203.0.113.1",
        "spare": "203.0.113.9",
        "len": "24",
        "one": "32",
        "net": "203.0.113.0/24",
        "box_net": "10.7.0.0/24",
        "box_gw": "10.7.0.1",
        "box": "10.7.0.2",
        "side": "192.0.2.1",
        "side_box": "192.0.2.7",
        "side_gw": "192.0.2.2",
        "narrow": "30",
        "nearer": "203.0.113.6/29",
        "any": "0.0.0.0",
    },
    6: {
        "ip": "ip -6",
        "box_at": "[2001:db8:8::2]",
        "ours_at": "[2001:db8:1::1]",
        "side_at": "[2001:db8:2::1]",
        "family": "ipv6",
        "nodad": "nodad",
        "far": "2001:db8:7::7",
        "far_net": "2001:db8:7::/64",
        "near": "2001:db8:1::2",
        "ours": "2001:db8:1::1",
        "spare": "2001:db8:1::9",
        "len": "64",
        "one": "128",
        "net": "2001:db8:1::/64",
        "box_net": "2001:db8:8::/64",
        "box_gw": "2001:db8:8::1",
        "box": "2001:db8:8::2",
        "side": "2001:db8:2::1",
        "side_box": "2001:db8:2::7",
        "side_gw": "2001:db8:2::2",
        "narrow": "126",
        "nearer": "2001:db8:1::6/125",
        "any": "[::]",
    },
}
SETUP = (
    "ip netns add lan; ip -n lan link set lo up",
    "ip link add up0 type veth peer name eth0 netns lan",
    "ip link add up1 type veth peer name eth1 netns lan",
    "ip link set up0 up; ip link set up1 up; ip -n lan link set eth0 up; ip -n lan link set eth1 up",
    "ip addr add 203.0.113.1/24 dev up0; ip addr add 2001:db8:1::1/64 dev up0 nodad",
    "ip -n lan addr add 203.0.113.2/24 dev eth0; ip -n lan addr add 2001:db8:1::2/64 dev eth0 nodad",
    "ip netns add home; ip -n home link set lo up; ip -n lan link add down0 type veth peer name eth0 netns home",
    "ip -n lan link set down0 up; ip -n home link set eth0 up",
    "ip -n lan addr add 198.51.100.1/24 dev down0; ip -n lan addr add 2001:db8:7::1/64 dev down0 nodad",
    "ip -n home addr add 198.51.100.7/24 dev eth0; ip -n home addr add 2001:db8:7::7/64 dev eth0 nodad",
    "ip -n home route add default via 198.51.100.1; ip -n home -6 route add default via 2001:db8:7::1",
    "ip netns exec lan sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
    "ip addr add 192.0.2.1/24 dev up1; ip addr add 2001:db8:2::1/64 dev up1 nodad",
    "ip -n lan addr add 192.0.2.2/24 dev eth1; ip -n lan addr add 2001:db8:2::2/64 dev eth1 nodad",
    "ip route add default via 203.0.113.2; ip -6 route add default via 2001:db8:1::2",
)
PATIENCE = 3.2  # seconds: TCP has then sent a segment again after 0.2, 0.6 and 1.4 s
SOON = 0.9  # seconds in which a session that lives answers at the latest


def worded(value: Any, words: dict[str, str]) -> Any:
    """The value with $(word) replaced in every text."""
    if isinstance(value, dict):
        return {worded(key, words): worded(inner, words) for key, inner in value.items()}
    if isinstance(value, list):
        return [worded(inner, words) for inner in value]
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(f"$({word})", text)
    return value


class Line:
    """A TCP session between a client on the LAN or behind its router, and an echo server, both of this process."""

    def __init__(
        self,
        peer: str,
        local: str,
        scope: str,
        mark: int,
        port: int = 22,
        asked: tuple[str, int] | None = None,
        client: str = "",
    ) -> None:
        self.patience = PATIENCE
        self.family = socket.AF_INET6 if ":" in local else socket.AF_INET
        self.peer, self.asked = peer, asked or (local, port)
        self.client_scope = client or ("home" if peer in (WORDS[4]["far"], WORDS[6]["far"]) else "lan")
        self.listener = inside(scope, self._listen, local, port, mark)
        self.client, self.server = self._connected()

    def _listen(self, local: str, port: int, mark: int) -> socket.socket:
        sock = socket.socket(self.family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if mark:
            sock.setsockopt(socket.SOL_SOCKET, 36, mark)  # SO_MARK
        sock.bind((local, port))
        sock.listen()
        sock.settimeout(PATIENCE)
        return sock

    def _dial(self) -> socket.socket:
        sock = socket.socket(self.family)
        sock.settimeout(self.patience)
        sock.bind((self.peer, 0))
        try:
            sock.connect(self.asked)
        except OSError:
            sock.close()
            raise
        return sock

    def _connected(self) -> tuple[socket.socket, socket.socket]:
        client = inside(self.client_scope, self._dial)
        try:
            server, _ = self.listener.accept()
        except OSError:
            client.close()
            raise
        server.settimeout(self.patience)
        return client, server

    def hasten(self) -> None:
        """Wait no longer than SOON from now on, for an answer that is not to come."""
        self.patience = SOON
        for sock in (self.listener, self.client, self.server):
            sock.settimeout(SOON)

    def answers(self) -> str:
        """ "" where the session gets an answer and a new one can be had, else which does not."""
        if not _echo(self.client, self.server):
            return "the session"
        try:
            client, server = self._connected()
        except OSError:
            return "a new session"
        with client, server:
            return "" if _echo(client, server) else "a new session"

    def close(self) -> None:
        for sock in (self.client, self.server, self.listener):
            sock.close()


def _echo(client: socket.socket, server: socket.socket) -> bool:
    """Whether both ends get what the other one sends; the server speaks first, with what the apply prints."""
    try:
        server.sendall(b"pong")
        time.sleep(0.05)
        client.sendall(b"ping")
        return client.recv(4) == b"pong" and server.recv(4) == b"ping"
    except OSError:
        return False


@contextlib.contextmanager
def line(case: dict[str, Any], words: dict[str, str]) -> Iterator[Line]:
    peer, local = worded(case.get("peer", "$(far)"), words), worded(case.get("local", "$(ours)"), words)
    asked = worded(case["asked"], words) if "asked" in case else None
    made = Line(
        peer,
        local,
        case.get("scope", "host"),
        case.get("mark", 0),
        asked=asked and (asked[0], int(asked[1])),
        client=case.get("client", ""),
    )
    try:
        port = made.client.getsockname()[1]
        os.environ["SSH_CONNECTION"] = f"{peer} {port} {local} 22"
        yield made
    finally:
        os.environ.pop("SSH_CONNECTION", None)
        made.close()


@pytest.fixture(autouse=True)
def forking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsed_ways, "_may_fork", lambda: True)  # where tests run side by side they have threads


def families(number: int, case: dict[str, Any]) -> tuple[int, ...]:
    """Both with NETRECON_SESSIONS=all; else one of them in turn, which takes half as long."""
    both = tuple(case.get("families", (4, 6)))
    return both if os.environ.get("NETRECON_SESSIONS") == "all" else (both[number % len(both)],)


PARAMETERS = [
    pytest.param(case, family, id=f"{case['name']} - IPv{family}")
    for number, case in enumerate(CASES)
    for family in families(number, case)
]


@pytest.mark.parametrize(("case", "family"), PARAMETERS)
def test_plan_is_refused_where_the_session_would_be_cut(
    case: dict[str, Any], family: int, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = WORDS[family]
    file = tmp_path / "net.yaml"

    def apply(topology: dict[str, Any], *options: str) -> int:
        file.write_text(yaml.safe_dump({"version": 1, "name": "g", **topology}, sort_keys=False))
        return main.main(["apply", *options, str(file)])

    os.environ.pop("SSH_CONNECTION", None)
    for command in (*SETUP, *filter(None, (case.get("given") or "").splitlines())):
        sh(worded(command, words))
    if "before" in case:
        assert apply(worded(case["before"], words), "-q", "--force") == 0
        for command in filter(None, (case.get("given_then") or "").splitlines()):
            sh(worded(command, words))
    plan = worded(case["plan"], words)
    with line(case, words) as session:
        assert session.answers() == ""
        capsys.readouterr()
        code = apply(plan, "-q", *case.get("options", ()))
        said = capsys.readouterr().err
        if case["cut"]:
            assert code == 1, said
            assert worded(case["cut"], words) in said
            assert session.answers() == ""
            assert apply(plan, "-q", "--force") == 0
            if "lives" not in case:
                session.hasten()
        else:
            assert code == 0, said
        for command in filter(None, (case.get("later") or "").splitlines()):
            sh(worded(command, words))
        assert bool(session.answers()) == bool(case["cut"] and "lives" not in case)
