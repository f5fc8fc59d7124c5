"""Opens the host's kernel for one run, which needs root."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.model.errors import NetreconError

if TYPE_CHECKING:
    from reconciler.kernel.namespaces.worker import Kernel


def need_root() -> None:
    """Raise NetreconError for any user except root."""
    if os.geteuid() != 0:
        raise NetreconError("this reads and changes other network namespaces, which needs root; run it with sudo")


def kernel() -> Kernel:
    """The kernel's sockets and namespaces; close it, or use it in a with block.  Raises NetreconError without root."""
    need_root()
    from reconciler.kernel.namespaces.worker import Kernel

    return Kernel()
