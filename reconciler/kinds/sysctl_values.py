"""The values of sysctls: how the kernel prints them, and which it takes."""

from __future__ import annotations

from reconciler.model import port_ranges
from reconciler.model.patterns import pattern
from reconciler.model.port_ranges import PortRanges

RESERVED = "net.ipv4.ip_local_reserved_ports"
PORTS = "net.ipv4.ip_local_port_range"
_INTEGERS = pattern(r"-?\d+( -?\d+)*")
_BASED = pattern(r"(-?)(0[xX][0-9a-fA-F]+|0[0-7]+)")  # strtoul_lenient in kernel/sysctl.c; it prints decimals
_PORTS = pattern(r" *\d{1,5}(-\d{1,5})?( *, *\d{1,5}(-\d{1,5})?)* *")
_LISTS_OF_BITS = ("cpu", "mask", "reserved_ports")  # printed as ranges or hexadecimal
_INT = (-(1 << 31), (1 << 31) - 1)
_UNSIGNED = frozenset({"ra_defrtr_metric", "ioam6_id_wide", "ioam6_id"})


def normal(key: str, value: str) -> str:
    """The value as the kernel prints it: numbers in decimal, ranges of ports sorted and joined."""
    if key == RESERVED:
        return ",".join(port_ranges.written(_ranges(value))) if _PORTS.fullmatch(value) else value
    if _is_list_of_bits(key):
        return value
    return " ".join(_decimal(word) for word in value.split(" "))


def _is_list_of_bits(key: str) -> bool:
    return any(word in key for word in _LISTS_OF_BITS)


def _decimal(word: str) -> str:
    if word == "0" or word.removeprefix("-")[:1] != "0":
        return word
    match = _BASED.fullmatch(word)
    return str(int(match[1] + match[2], 16 if match[2][1] in "xX" else 8)) if match else word


def _ranges(value: str) -> PortRanges:
    """As port_ranges.parse, without the ports that no list can have: so long a range would take long."""
    try:
        return port_ranges.parse(value)
    except ValueError:
        return ()


def wrong(key: str, value: str) -> str:
    """Why the kernel does not take the value, whatever the host; "" where that is not known."""
    if key == RESERVED:
        return _wrong_ports(value)
    if key == PORTS:
        return _wrong_port_range(value)
    limits = _limits(key)
    if limits is None:
        return ""
    if not value.removeprefix("-").isdecimal():
        return f"{value!r} is no whole number, which {key} is"
    first, last = limits
    return (
        "" if first <= int(value) <= last else f"{value} is not between {first} and {last}, as the kernel wants {key}"
    )


def _limits(key: str) -> tuple[int, int] | None:
    """The least and the largest value of a sysctl that is one whole number, None for any other sysctl."""
    match key.split("."):
        case ["net", "ipv6", "conf", _, "hop_limit"]:
            return 1, 255  # addrconf_sysctl in net/ipv6/addrconf.c
        case ["net", "ipv4", "ip_default_ttl"]:
            return 1, 255
        case ["net", "ipv4", "ip_unprivileged_port_start"]:
            return 0, 65535
        case ["net", "ipv6", "conf", _, "mtu"]:
            return 1280, _INT[1]  # IPV6_MIN_MTU
        case ["net", "ipv4" | "ipv6", "conf" | "neigh", _, name] if not name.startswith("stable_secret"):
            return (0, (1 << 32) - 1) if name in _UNSIGNED else _INT
        case ["net", "ipv4", "ip_forward"]:
            return _INT
    return None


def _wrong_ports(value: str) -> str:
    if not value:
        return ""
    if not _PORTS.fullmatch(value):
        return f"{value!r} is no list of ports such as 80,8080-8090"
    pairs = [part.strip().partition("-") for part in value.split(",")]
    bad = [first + dash + last for first, dash, last in pairs if not 0 <= int(first) <= int(last or first) <= 65535]
    return f"{bad[0]} is no range of ports between 0 and 65535" if bad else ""


def _wrong_port_range(value: str) -> str:
    words = value.split(" ")
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return f"{value!r} is not two ports, the first and the last, such as 32768 60999"
    return "" if 1 <= int(words[0]) <= int(words[1]) <= 65535 else f"{value} is no range of ports between 1 and 65535"


def unlike(key: str, value: str, live: str) -> str:
    """Why the kernel does not take the value, by what it has now: as many numbers, where it has numbers."""
    if not _INTEGERS.fullmatch(live) or _is_list_of_bits(key):
        return ""
    many = live.count(" ") + 1
    if _INTEGERS.fullmatch(value) and value.count(" ") + 1 == many:
        return ""
    what = "a whole number" if many == 1 else f"{many} whole numbers"
    return f"{key} is {what}, {live} now, and {value!r} is not"
