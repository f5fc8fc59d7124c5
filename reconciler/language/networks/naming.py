"""Names and hardware addresses for the links that nobody named: always the same, readable, and of one owner only."""

from __future__ import annotations

import hashlib

MAX = 15  # IFNAMSIZ without the final zero
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HASHED = 7  # of these digits: 41 bits; among 10,000 names two meet once in 70,000 times


def bridge(network: str) -> str:
    """``br-web``; a longer name is cut and told apart by a hash: ``br_mono-1dQ3xYz``."""
    name = f"br-{network}"
    return name if len(name) <= MAX else _shortened("br_", network, network)


def veth(sandbox: str, network: str) -> str:
    """The host's end of an endpoint: ``v-nginx-web``, or ``v_nginx-1dQ3xYz``.

    With a hyphen in the network's name, ``v-a-b-c`` could be that of two endpoints.
    """
    name = f"v-{sandbox}-{network}"
    plain = len(name) <= MAX and "-" not in network
    return name if plain else _shortened("v_", sandbox, f"{sandbox}/{network}")


def _shortened(prefix: str, readable: str, whole: str) -> str:
    value = int.from_bytes(hashlib.blake2b(whole.encode(), digest_size=8).digest())
    digits = ""
    for _ in range(_HASHED):
        value, digit = divmod(value, len(_DIGITS))
        digits += _DIGITS[digit]
    return f"{prefix}{readable[: MAX - len(prefix) - _HASHED - 1]}-{digits}"


def mac(address: int) -> str:
    """02:42 and the (last) four bytes of an address, as Docker does it for IPv4."""
    return "02:42:" + ":".join(f"{byte:02x}" for byte in (address & 0xFFFFFFFF).to_bytes(4))


def address_in(hardware: str) -> int | None:
    """The IPv4 address that ``mac`` put into a hardware address, None when it was not made so."""
    if not hardware.startswith("02:42:"):
        return None
    return int(hardware[6:].replace(":", ""), 16)
