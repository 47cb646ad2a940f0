"""SIGTERM and SIGINT as a wish to stop at the next step, not as an end in mid-write."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopWish:
    """Set once a signal has come; a second SIGINT ends the process the usual way."""

    def __init__(self) -> None:
        self.signal: str | None = None


@contextmanager
def stop_wish() -> Iterator[StopWish]:
    """Catch SIGTERM and SIGINT meanwhile (in the main thread; elsewhere nothing is caught)."""
    wish = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return

    def note(number: int, frame: FrameType | None) -> None:
        if wish.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        wish.signal = signal.Signals(number).name

    old = {s: signal.signal(s, note) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield wish
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
