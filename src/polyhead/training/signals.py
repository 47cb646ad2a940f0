"""SIGTERM and SIGINT: a wish to stop at the next step, or, before there are steps, a plain end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from polyhead.errors import Stopped


class StopWish:
    """Set once a signal has come; a second SIGINT ends the process the usual way."""

    def __init__(self) -> None:
        self.number = 0  # the signal's; 0 is none


@contextmanager
def stop_wish() -> Iterator[StopWish]:
    """Catch SIGTERM and SIGINT meanwhile (in the main thread; elsewhere nothing is caught)."""
    wish = StopWish()

    def note(number: int, frame: FrameType | None) -> None:
        if wish.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        wish.number = number

    with _handled_by(note):
        yield wish


@contextmanager
def stop_at_once(outcome: Callable[[], str]) -> Iterator[None]:
    """Let SIGTERM and SIGINT end what is done meanwhile; `outcome` says what is there then.

    Raises Stopped, which files being written atomically take for any other fault.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(f"stopped by {signal.Signals(number).name}: {outcome()}")

    with _handled_by(stop):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {s: signal.signal(s, handler) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, before in old.items():
            signal.signal(number, before)
