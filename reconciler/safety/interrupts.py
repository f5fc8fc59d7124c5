"""Defers SIGINT, SIGTERM and SIGHUP to a moment at which it is safe to stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """Callable: whether a signal has arrived; ``name`` is the name of the first signal, "" for none."""

    name = ""

    def __call__(self) -> bool:
        return bool(self.name)

    def note(self, number: int, _frame: FrameType | None) -> None:
        self.name = self.name or signal.Signals(number).name


NO_INTERRUPT = Interrupt()


@contextlib.contextmanager
def put_off(signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[Interrupt]:
    """Inside, signals are only recorded in the Interrupt; a signal that was ignored before (nohup) stays ignored."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    kept = {number: signal.getsignal(number) for number in signals}
    caught = [number for number, handler in kept.items() if handler not in (signal.SIG_IGN, None)]
    for number in caught:
        signal.signal(number, interrupt.note)
    try:
        yield interrupt
    finally:
        for number in caught:
            signal.signal(number, kept[number])
