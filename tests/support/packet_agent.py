"""A process in one namespace that answers on TCP and UDP ports, and sends probes when it is told to.

Arguments: its name, then the ports.  Each line on standard input is a JSON list [protocol, address, port, seconds];
the answer line is what the server said ("<its name> <address it saw>"), or "refused", "timeout", ...
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time


def plain(address: str) -> str:
    return address.removeprefix("::ffff:")


def serve_tcp(listener: socket.socket, name: str) -> None:
    while True:
        connection, peer = listener.accept()
        with connection:
            connection.sendall(f"{name} {plain(peer[0])}".encode())


def serve_udp(sock: socket.socket, name: str) -> None:
    while True:
        _, peer = sock.recvfrom(64)
        sock.sendto(f"{name} {plain(peer[0])}".encode(), peer)


def serve(name: str, port: int) -> None:
    for kind, answer in ((socket.SOCK_STREAM, serve_tcp), (socket.SOCK_DGRAM, serve_udp)):
        sock = socket.socket(socket.AF_INET6, kind)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            sock.listen(16)
        threading.Thread(target=answer, args=(sock, name), daemon=True).start()


def ask_tcp(family: int, address: str, port: int, seconds: float) -> str:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(seconds)
        sock.connect((address, port))
        return sock.recv(256).decode()


def ask_udp(family: int, address: str, port: int, seconds: float) -> str:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        end = time.monotonic() + seconds
        while time.monotonic() < end:  # the first datagram may be lost to neighbour discovery
            sock.send(b"?")
            sock.settimeout(min(0.3, seconds))
            try:
                return sock.recv(256).decode()
            except TimeoutError:
                continue
        raise TimeoutError


def ask(protocol: str, address: str, port: int, seconds: float) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return (ask_tcp if protocol == "tcp" else ask_udp)(family, address, port, seconds)
    except TimeoutError:
        return "timeout"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return f"error {error}"


def main() -> None:
    name, *ports = sys.argv[1:]
    for port in ports:
        serve(name, int(port))
    print("ready", flush=True)
    for line in sys.stdin:
        print(ask(*json.loads(line)), flush=True)


main()
