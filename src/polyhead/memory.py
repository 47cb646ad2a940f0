"""How much memory this process has and may still take, and what to say where there is no more."""

from __future__ import annotations

import ctypes
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from polyhead.errors import OutOfMemoryError

GIB = 2**30
HEAP_STEP = 2**26  # the tuned allocator asks for address space in pieces of this size
MARGIN = 0.7  # of a batch that was tried and fits: others have other shapes, and a heap has gaps
_SIGNS = ("allocate memory", "out of memory", "bad_alloc", "could not create a memory")


def used() -> int:
    """Resident bytes of this process now (Linux), or its peak elsewhere."""
    try:
        return _statm()[1]
    except OSError:
        return peak()


def peak() -> int:
    """The most resident bytes this process has had.

    Not by getrusage on Linux: there a process inherits the peak of the one that started it.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def trim() -> None:
    """Give what the allocator keeps in reserve back to the system (glibc; elsewhere nothing)."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def free() -> tuple[int, str]:
    """(bytes this process may still take, whose limit that is)."""
    import resource

    rooms = [(_available(), "this machine")]
    rooms += [(room, "the control group (cgroup)") for room in _cgroup_rooms()]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        rooms.append((soft - _statm()[0] - HEAP_STEP, "ulimit -v"))
    room, whose = min(rooms)
    return max(0, room), whose


def shown(count: float) -> str:
    """Bytes for a person."""
    return f"{count / GIB:.2f} GiB" if count >= GIB / 10 else f"{count / 2**20:.0f} MiB"


def ran_out(error: BaseException) -> bool:
    """Whether an exception says that memory could not be had (torch raises RuntimeError for it)."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(s in str(error).lower() for s in _SIGNS)


@contextmanager
def told(explain: Callable[[], str]) -> Iterator[None]:
    """Raise OutOfMemoryError with `explain()` where memory runs out inside.

    `explain` is called when what was computed inside is gone, so it may try what does fit.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        traceback.clear_frames(error.__traceback__)  # the caller's `with` keeps the error alive
    else:
        return
    trim()
    room, whose = free()
    message = explain()
    raise OutOfMemoryError(f"out of memory: {message} ({shown(room)} were free: {whose})") from None


def largest_that_fits(run: Callable[[int], object], size: int) -> int | None:
    """The largest of size / 2, size / 4, … for which `run` has memory enough; None if none has."""
    while size := size // 2:
        try:
            run(size)
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
        else:
            return size
        trim()
    return None


def _statm() -> tuple[int, int]:
    """(address space, resident) bytes of this process; raises OSError where it is not Linux."""
    pages = Path("/proc/self/statm").read_text().split()
    size = os.sysconf("SC_PAGE_SIZE")
    return int(pages[0]) * size, int(pages[1]) * size


def _available() -> int:
    """Bytes of the machine that nobody uses (Linux), or that this process does not."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        facts = dict(line.split(":", 1) for line in lines)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") - used()


def _cgroup_rooms(
    groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> Iterator[int]:
    """What each control group above this process leaves it; file caches can be had back."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        names = ("memory.max", "memory.current", "inactive_file")
        base = root
        if "memory" in controllers.split(","):  # the older kind of control groups
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            base = root / "memory"
        elif controllers:
            continue
        folder = base / place.lstrip("/")
        for group in (folder, *folder.parents):
            if (room := _cgroup_room(group, *names)) is not None:
                yield room
            if group == base:
                break


def _cgroup_room(folder: Path, limit: str, current: str, cache: str) -> int | None:
    try:
        most, now = (int((folder / name).read_text()) for name in (limit, current))
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return most - now + int(facts.get(cache, 0))
    except (OSError, ValueError):  # no such group here, or "max": no limit
        return None
