"""How much memory there is, and what is said where there is no more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from polyhead import memory
from polyhead.errors import OutOfMemoryError
from polyhead.memory import largest_that_fits, ran_out, told
from polyhead.training.need import Need


def need(**changes: float) -> Need:
    values = {"rows": 10, "slots": 400, "batch_tokens": 200, "fixed": 100.0, "per_slot": 2.0}
    return Need(largest="10 pairs", moments=100, **(values | changes))  # type: ignore[arg-type]


def test_a_need_is_a_line_over_the_slots_and_its_inverse_keeps_a_tenth_spare() -> None:
    assert need().of(400) == 100 + 100 + 800
    assert need().batch_tokens_within(1000 / 0.9) == pytest.approx(200, abs=1)
    assert need().batch_tokens_within(600 / 0.9) == pytest.approx(100, abs=1)


def test_where_not_even_one_row_fits_nothing_does() -> None:
    assert need().batch_tokens_within((200 + 2 * 40) / 0.9 + 1) == 20
    assert need().batch_tokens_within((200 + 2 * 40) / 0.9 - 1) == 0
    assert need().batch_tokens_within(0) == 0


def test_a_failed_allocation_is_recognised_and_other_faults_are_not() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert ran_out(caught.value)
    assert ran_out(MemoryError())
    assert ran_out(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert not ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not ran_out(ValueError("out of memory"))


def test_a_failed_allocation_is_told_with_what_was_being_done_and_what_is_free() -> None:
    message = r"^out of memory: 9 pairs .*\(.* were free: .*\)$"
    with pytest.raises(OutOfMemoryError, match=message), told(lambda: "9 pairs do not fit"):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="shapes"), told(lambda: "no"):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_the_largest_size_that_fits_is_found_by_halving() -> None:
    tried = []

    def run(size: int) -> None:
        tried.append(size)
        if size > 6:
            raise MemoryError

    assert largest_that_fits(run, 40) == 5
    assert tried == [20, 10, 5]
    assert largest_that_fits(lambda size: run(7), 8) is None
    with pytest.raises(ZeroDivisionError):
        largest_that_fits(lambda size: 1 // 0, 8)


@pytest.mark.parametrize("kind", ["new", "old"])
def test_every_control_group_above_counts_and_caches_can_be_had_back(
    tmp_path: Path, kind: str
) -> None:
    names = {
        "new": ("memory.max", "memory.current", "inactive_file", "0::/a/b"),
        "old": (
            *("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
            "5:cpu,memory:/a/b\n3:pids:/x",
        ),
    }[kind]
    limit, current, cache, line = names
    base = tmp_path / "memory" if kind == "old" else tmp_path
    for place, most, now, cached in (("a", "1000", 700, 50), ("a/b", "900", 100, 0)):
        folder = base / place
        folder.mkdir(parents=True)
        (folder / limit).write_text(f"{most}\n")
        (folder / current).write_text(f"{now}\n")
        (folder / "memory.stat").write_text(f"anon 1\n{cache} {cached}\n")
    (tmp_path / "groups").write_text(line + "\n")
    assert list(memory._cgroup_rooms(tmp_path / "groups", tmp_path)) == [800, 350]
    if kind == "new":
        (base / "a" / limit).write_text("max\n")
        assert list(memory._cgroup_rooms(tmp_path / "groups", tmp_path)) == [800]
    assert list(memory._cgroup_rooms(tmp_path / "none", tmp_path)) == []


def test_what_is_free_is_positive_and_says_whose_limit_it_is() -> None:
    room, whose = memory.free()
    assert room > 0
    assert whose in ("this machine", "the control group (cgroup)", "ulimit -v")


def test_bytes_are_shown_for_a_person() -> None:
    assert memory.shown(3 * 2**30) == "3.00 GiB"
    assert memory.shown(5 * 2**20) == "5 MiB"
