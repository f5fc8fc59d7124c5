"""The number of network namespaces that the kernel allows a user (namespaces(7), user.max_net_namespaces)."""

from __future__ import annotations

_LIMIT = "/proc/sys/user/max_net_namespaces"
_WHOLE = 0xFFFFFFFF  # all user ids: the user namespace that the machine was started with


def exceeded(made: int, present: int) -> str:
    """Why the kernel will not create ``made`` namespaces beside those with a name, "" where it may."""
    try:
        with open(_LIMIT) as file:
            most = int(file.read())
    except (OSError, ValueError):
        return ""
    counted = present if _counts_all() else 0
    if made + counted <= most:
        return ""
    beside = f" beside the {counted} that exist" if counted else ""
    name = _LIMIT.removeprefix("/proc/sys/").replace("/", ".")
    return f"{made} namespaces to create{beside}; {name} allows {most} in all, raise it to {made + counted} or more"


def _counts_all() -> bool:
    """Whether namespaces that others made count too: not in a user namespace of our own, which has its own count."""
    with open("/proc/self/uid_map") as file:
        words = file.read().split()
    return len(words) == 3 and int(words[2]) == _WHOLE
