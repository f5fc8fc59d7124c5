"""Sends one router advertisement (RFC 4861, 4.2) out of a link: python router.py LINK LIFETIME."""

from __future__ import annotations

import socket
import struct
import sys

ALL_NODES = "ff02::1"
ADVERTISEMENT = 134


def main(link: str, lifetime: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)  # or nobody believes it
        message = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 64, 0, lifetime, 0, 0)  # the kernel sums it
        sock.sendto(message, (ALL_NODES, 0, 0, socket.if_nametoindex(link)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
