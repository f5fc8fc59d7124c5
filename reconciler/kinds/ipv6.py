"""Whether a link has IPv6: the kernel has none where it is switched off or where the MTU is below 1280."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.kinds.context import Names
from reconciler.kinds.links import bridge_ports
from reconciler.kinds.links.link import declared_end, ends
from reconciler.model.changes import Change
from reconciler.model.keys import Key
from reconciler.model.names import IPV6_MIN_MTU

if TYPE_CHECKING:
    from reconciler.kinds.ahead import Ahead


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


# ------------------------------------------------------------------ on the host, where the topology does not say


def asks(scope: str, link: str) -> Iterator[tuple[str, str]]:
    """The sysctls that say whether the link has IPv6."""
    yield from ((scope, switch(scope, place).name) for place in (link, "default"))


def off_on_host(scope: str, link: str, ahead: Ahead) -> str:
    """Why the link will have no IPv6 after the plan and what to write, "" where it will have it."""
    if scope not in ahead.rows:
        return ""  # a new namespace, in which IPv6 is on
    own, default, every = (switch(scope, place).name for place in (link, "default", "all"))
    is_new = ahead.makes(scope, link)
    last = [own, default, every] if is_new else [own, every]
    written = next(((name, value) for name in last if (value := ahead.written(scope, name)) is not None), None)
    name, value = written or ((default if is_new else own), ahead.setting(scope, default if is_new else own))
    if value is None:
        return "" if is_new else _narrow_on_host(scope, link, ahead)
    when = "after this plan" if written else "on this host"
    return "" if value == "0" else f"IPv6 is off on {link}: {name} is {value} {when}; declare sysctls: {{{own}: 0}}"


def _narrow_on_host(scope: str, link: str, ahead: Ahead) -> str:
    """Why a live link without IPv6 settings has no IPv6: its MTU, which the plan does not raise."""
    row = next((row for row in ahead.rows[scope].links.values() if row.name == link), None)
    raised = any(_mtu(change, scope, link) >= IPV6_MIN_MTU for change in ahead.changes)
    if row is None or row.mtu >= IPV6_MIN_MTU or raised or row.kind == "bridge":  # a bridge may follow its ports
        return ""
    return f"{link} has an mtu of {row.mtu} on this host; IPv6 needs {IPV6_MIN_MTU} or more, so declare its mtu"


def _mtu(change: Change, scope: str, link: str) -> int:
    found = (end.mtu for end in ends(change.after) if (end.scope, end.name) == (scope, link))
    return next(found, 0) or 0
