"""Whether a topology leaves IPv6 on a link: the kernel has none where it is switched off or the MTU is below 1280."""

from __future__ import annotations

from reconciler.kinds.context import Names
from reconciler.kinds.links import bridge_ports
from reconciler.kinds.links.link import IPV6_MIN_MTU, declared_end
from reconciler.model.keys import Key


def off(scope: str, link: str, names: Names) -> str:
    """Why the declared link has no IPv6 and what to write, "" where it has IPv6 or the topology does not say."""
    return narrow(scope, link, names) or _switched_off(scope, link, names)


def off_everywhere(scope: str, names: Names) -> str:
    """Why no link of the scope has IPv6 and what to write, "" where one may have it."""
    key = switch(scope, "all")
    if not _is_off(key, names):
        return ""
    declared = names.by_scope.get((scope, "sysctl"), ())
    if any(one.name.endswith(".disable_ipv6") and not _is_off(one, names) for one in declared):
        return ""
    where = "net.ipv6.conf.LINK.disable_ipv6: 0"
    return f"IPv6 is off on every link here: {_said(key, names)}; declare {where} for the links that need it"


def narrow(scope: str, link: str, names: Names) -> str:
    """Why the MTU of a declared link is too small for IPv6, "" where it is not."""
    end = declared_end(scope, link, names)
    if end is None:
        return ""
    if end.mtu is not None:
        return f"{link} has an mtu of {end.mtu}; IPv6 needs {IPV6_MIN_MTU} or more" if end.mtu < IPV6_MIN_MTU else ""
    least = bridge_ports.of(scope, link, names).mtu  # a bridge without an MTU of its own takes the least of its ports
    if least is None or least >= IPV6_MIN_MTU or names.links[scope, link].kind == "interface":
        return ""
    return f"{link} takes the least mtu of its ports, {least}; IPv6 needs {IPV6_MIN_MTU} or more"


def _switched_off(scope: str, link: str, names: Names) -> str:
    if (scope, link) not in names.links:
        return ""
    own, default = switch(scope, link), switch(scope, "default")
    is_new = names.links[scope, link].kind != "interface"
    above = default if is_new and default in names.objects else switch(scope, "all")
    deciding = own if own in names.objects else above
    if not _is_off(deciding, names):
        return ""
    do = "write 0" if deciding == own else f"declare {own.name}: 0"
    return f"IPv6 is off on {link}: {_said(deciding, names)}; {do} to have it there"


def switch(scope: str, place: str) -> Key:
    """The key of the setting that switches IPv6 off on a link, on all, or (default) on new ones."""
    return Key("sysctl", scope, f"net.ipv6.conf.{place.replace('.', '/')}.disable_ipv6")


def _is_off(key: Key, names: Names) -> bool:
    return key in names.objects and names.objects[key].value != "0"


def _said(key: Key, names: Names) -> str:
    line = names.origins[key].line if key in names.origins else 0
    return f"{key.name} is {names.objects[key].value}" + (f" at line {line}" if line else "")
