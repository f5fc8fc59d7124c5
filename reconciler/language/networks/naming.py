"""Makes names and MAC addresses for links of networks: readable, unique, and the same each time."""

from __future__ import annotations

import hashlib

MAX = 15  # IFNAMSIZ (linux/if.h) without the final NUL
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HASHED = 7  # digits, 41 bits: the chance that two of 10,000 names are the same is about 1 in 70,000


def bridge(network: str) -> str:
    """``br-web``; a name of more than 15 characters is cut and gets a hash: ``br_mono-1dQ3xYz``."""
    name = f"br-{network}"
    return name if len(name) <= MAX else _shortened("br_", network, network)


def bridge_of(topology: str, network: str) -> str:
    """``br-shop-web`` for a bridge whose name is to say whose it is: two topologies may each have a network ``web``."""
    name = f"br-{topology}-{network}"
    plain = len(name) <= MAX and "-" not in network
    return name if plain else _shortened("br_", topology, f"{topology}/{network}")


def cut(name: str, most: int) -> str:
    """The name, or where it is longer than ``most`` its beginning and a hash of the whole."""
    return name if len(name) <= most else _shortened("", name, name, most)


def veth(sandbox: str, network: str) -> str:
    """The host's end of an endpoint: ``v-nginx-web``, or ``v_nginx-1dQ3xYz``.

    The second form has a hash.  It is used for a long name, and where the network's name has a hyphen: ``v-a-b-c``
    could be the name of two endpoints.
    """
    name = f"v-{sandbox}-{network}"
    plain = len(name) <= MAX and "-" not in network
    return name if plain else _shortened("v_", sandbox, f"{sandbox}/{network}")


def _shortened(prefix: str, readable: str, whole: str, most: int = MAX) -> str:
    value = int.from_bytes(hashlib.blake2b(whole.encode(), digest_size=8).digest())
    digits = ""
    for _ in range(_HASHED):
        value, digit = divmod(value, len(_DIGITS))
        digits += _DIGITS[digit]
    return f"{prefix}{readable[: most - len(prefix) - _HASHED - 1]}-{digits}"


def mac(address: int) -> str:
    """02:42 and the last four bytes of an address, as Docker makes MAC addresses from IPv4 addresses."""
    return "02:42:" + ":".join(f"{byte:02x}" for byte in (address & 0xFFFFFFFF).to_bytes(4))


def address_in(hardware: str) -> int | None:
    """The IPv4 address, as a number, in a MAC address made by ``mac``; None for any other MAC address."""
    if not hardware.startswith("02:42:"):
        return None
    return int(hardware[6:].replace(":", ""), 16)
