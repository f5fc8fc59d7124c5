"""Says in one sentence which published ports nobody outside reaches, for who reads no more than that."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model.keys import HOST
from reconciler.planning.finding import LISTED, Finding


def sentence(findings: Iterable[Finding]) -> str:
    """The sentence; "" where no finding shuts a port."""
    shut = sorted({key for one in findings for key in one.shut})
    if not shut:
        return ""
    names = ", ".join(key.name + f" of {key.scope}" * (key.scope != HOST) for key in shut[:LISTED])
    more = f" and {len(shut) - LISTED} more" if len(shut) > LISTED else ""
    many = f"the {len(shut)} published ports {names}{more} do" if len(shut) > 1 else f"the published port {names} does"
    return f"{many} not work from outside; netrecon doctor says why and what to do"
