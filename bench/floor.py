"""The floor: the same kernel work by struct and system calls alone, without a library and without a question asked.

    floor.py create|read|delete NAMESPACES PORTS

It creates the state of scenario.py, reads all of it as bytes, or deletes it.  It knows what is there, checks nothing
but that the kernel agreed, and would be of no other use.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator

import scenario

CLONE_NEWNET, MS_BIND, MNT_DETACH = 0x40000000, 0x1000, 2
REQUEST, ACK, DUMP, CREATE = 0x1, 0x4, 0x300, 0x600  # CREATE with EXCL
NEWLINK, DELLINK, GETLINK, SETLINK, NEWADDR, GETADDR, NEWROUTE, GETROUTE, GETRULE = 16, 17, 18, 19, 20, 22, 24, 26, 34
DONE = struct.pack("=IH", 20, 3)
NFT, TABLE = 10 << 8, "floor"
UP, FIRST = 1, 2  # IFF_UP; the index of a namespace's first link after lo
WINDOW, ELEMENTS = 64, 1500  # requests in one send; elements in one message (an attribute holds 64 KiB)
GROUP = 77
_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


# ------------------------------------------------------------------ netlink


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    return struct.pack("=HHI", 8, kind, value)


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, REQUEST | ACK | flags, 1, 0) + body


def link(kind: int, index: int, flags: int, change: int, *attributes: bytes) -> bytes:
    body = struct.pack("=BxHiII", 0, 0, index, flags, change) + b"".join(attributes)
    return message(kind, body, CREATE if kind == NEWLINK else 0)


def netlink(protocol: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    sock.setsockopt(270, 12, 1)  # strict checks
    sock.setsockopt(270, 10, 1)  # short acknowledgements
    return sock


def send(sock: socket.socket, messages: list[bytes]) -> None:
    """All of them, and an acknowledgement for each."""
    for at in range(0, len(messages), WINDOW):
        window = messages[at : at + WINDOW]
        sock.send(b"".join(window))
        waiting = len(window)
        while waiting:
            data, place = sock.recv(1 << 16), 0
            while place < len(data):
                (size,) = struct.unpack_from("=I", data, place)
                (error,) = struct.unpack_from("=i", data, place + 16)
                if error:
                    raise OSError(-error, os.strerror(-error))
                waiting -= 1
                place += size


def dump(sock: socket.socket, kind: int, body: bytes) -> int:
    """The bytes that answer one dump; they are not looked at."""
    sock.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST | DUMP, 1, 0) + body)
    total = 0
    while True:
        data = sock.recv(1 << 16)
        total += len(data)
        if data[-20:-14] == DONE:  # it stands alone or last
            return total


# Without an IPv6 address of its own a link floods no bridge with multicast; that has to be said before it is up.
NO_IPV6 = attribute(26, attribute(socket.AF_INET6, attribute(8, b"\1")))
STEPS = ((0, 0), (NO_IPV6,)), ((UP, UP), ())

# ------------------------------------------------------------------ namespaces


@contextlib.contextmanager
def home() -> Iterator[int]:
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        yield fd
    finally:
        call("setns", fd, CLONE_NEWNET)
        os.close(fd)


def create_namespaces(names: Iterable[str]) -> dict[str, tuple[int, socket.socket]]:
    """A descriptor of each new namespace, and a socket in it."""
    made = {}
    with home():
        for name in names:
            path = f"/run/netns/{name}"
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0))
            call("unshare", CLONE_NEWNET)
            call("mount", b"/proc/thread-self/ns/net", path.encode(), b"none", ctypes.c_ulong(MS_BIND), None)
            made[name] = os.open("/proc/thread-self/ns/net", os.O_RDONLY), netlink()
    return made


def sockets(names: Iterable[str]) -> Iterator[socket.socket]:
    with home() as here:
        for name in names:
            fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
            call("setns", fd, CLONE_NEWNET)
            os.close(fd)
            sock = netlink()
            call("setns", here, CLONE_NEWNET)
            yield sock
            sock.close()


# ------------------------------------------------------------------ create


def create(spaces: int, published: int) -> None:
    rows = list(scenario.namespaces(spaces))
    made = create_namespaces(name for name, _, _ in rows)
    host = netlink()
    kind = attribute(18, attribute(1, b"bridge"))
    send(host, [link(NEWLINK, 0, 0, 0, attribute(3, scenario.BRIDGE.encode() + b"\0"), kind)])
    bridge = socket.if_nametoindex(scenario.BRIDGE)
    send(host, [address(bridge, scenario.GATEWAY)])
    send(host, [veth(near, made[name][0], bridge) for name, near, _ in rows])
    named = [attribute(3, near.encode() + b"\0") for _, near, _ in rows]
    send(host, [link(SETLINK, 0, *flags, name, *more) for name in named for flags, more in STEPS])
    for name, _, one in rows:
        fd, sock = made[name]
        gateway = attribute(5, socket.inet_aton(scenario.GATEWAY))
        route = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + gateway
        up = [link(SETLINK, 1, UP, UP), *(link(SETLINK, FIRST, *flags, *more) for flags, more in STEPS)]
        send(sock, [*up, address(FIRST, one), message(NEWROUTE, route, CREATE)])
        sock.close()
        os.close(fd)
    send(host, [link(SETLINK, bridge, UP, UP)])
    send_ports(published, spaces)


def veth(name: str, fd: int, bridge: int) -> bytes:
    """Both ends in one message, this one a port of the bridge."""
    far = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attribute(3, b"eth0\0") + number(28, fd)
    data = attribute(18, attribute(1, b"veth") + attribute(2, attribute(1, far)))
    return link(NEWLINK, 0, 0, 0, attribute(3, name.encode() + b"\0"), number(10, bridge), data)


def address(index: int, text: str) -> bytes:
    value = socket.inet_aton(text)
    body = struct.pack("=BBBBI", 2, 16, 0, 0, index) + attribute(2, value) + attribute(1, value)
    return message(NEWADDR, body, CREATE)


# ------------------------------------------------------------------ ports


def nft(kind: int, *attributes: bytes) -> bytes:
    body = struct.pack(">BBH", 1, 0, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), NFT | kind, REQUEST | 0x400, 1, 0) + body


def big(kind: int, value: int) -> bytes:
    return struct.pack("=HH", 8, kind) + struct.pack(">I", value)


def send_ports(published: int, spaces: int) -> None:
    """A table and a map with the elements, in one transaction."""
    table, name = attribute(1, TABLE.encode() + b"\0"), b"published\0"
    types = big(3, 8), big(4, 12 << 6 | 13), big(5, 8), big(6, 7 << 6 | 13), big(7, 8)
    messages = [nft(0, table), nft(9, table, attribute(2, name), *types, big(10, 1))]
    listed = [
        attribute(1, attribute(1, attribute(1, struct.pack(">B3xH2x", 6, port)))
        + attribute(2, attribute(1, socket.inet_aton(to) + struct.pack(">H2x", target))))
        for port, to, target in scenario.ports(published, spaces)
    ]  # fmt: skip
    for at in range(0, len(listed), ELEMENTS):
        messages.append(nft(12, table, attribute(2, name), attribute(3, b"".join(listed[at : at + ELEMENTS]))))
    transact(messages)


def transact(messages: list[bytes]) -> None:
    batch = struct.pack(">BBH", 0, 0, 10)
    first, last = (struct.pack("=IHHII", 20, kind, REQUEST, 0, 0) + batch for kind in (16, 17))
    sock = netlink(12)
    sock.setsockopt(socket.SOL_SOCKET, 32, 8 << 20)  # SO_SNDBUFFORCE
    asking = messages[-1][:6] + struct.pack("=H", REQUEST | ACK | 0x400) + messages[-1][8:]
    sock.send(b"".join([first, *messages[:-1], asking, last]))
    (error,) = struct.unpack_from("=i", sock.recv(1 << 16), 16)
    if error:
        raise OSError(-error, os.strerror(-error))


# ------------------------------------------------------------------ read


def read(spaces: int, _published: int) -> None:
    total = dump_all(netlink())
    for sock in sockets(name for name, _, _ in scenario.namespaces(spaces)):
        total += dump_all(sock)
    ruleset = netlink(12)
    header = struct.pack(">BBH", 1, 0, 0)
    names = attribute(1, TABLE.encode() + b"\0") + attribute(2, b"published\0")
    total += dump(ruleset, NFT | 1, header) + dump(ruleset, NFT | 13, header + names)
    sys.stdout.write(f"{total}\n")


def dump_all(sock: socket.socket) -> int:
    """Links without their counters, addresses, routes, rules."""
    quiet = bytes(16) + number(29, 8)
    bodies = ((GETLINK, quiet), (GETADDR, bytes(8)), (GETROUTE, bytes(12)), (GETRULE, bytes(12)))
    return sum(dump(sock, kind, body) for kind, body in bodies)


# ------------------------------------------------------------------ delete


def delete(spaces: int, _published: int) -> None:
    host = netlink()
    rows = list(scenario.namespaces(spaces))
    names = [attribute(3, veth.encode() + b"\0") for _, veth, _ in rows]
    send(host, [link(SETLINK, 0, 0, 0, name, number(27, GROUP)) for name in names])
    send(host, [link(DELLINK, 0, 0, 0, number(27, GROUP))])
    send(host, [link(DELLINK, 0, 0, 0, attribute(3, scenario.BRIDGE.encode() + b"\0"))])
    for name, _, _ in rows:
        call("umount2", f"/run/netns/{name}".encode(), MNT_DETACH)
        os.unlink(f"/run/netns/{name}")
    transact([nft(2, attribute(1, TABLE.encode() + b"\0"))])


if __name__ == "__main__":
    {"create": create, "read": read, "delete": delete}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
