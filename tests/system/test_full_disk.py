"""A disk that fills up: what was saved stays, and training goes on once there is room."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from polyhead_system import check_told, info, inside, journal, outside, write_recipe

pytestmark = pytest.mark.xdist_group("resuming")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB that can grow."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False)
    except OSError:
        mounted = False
    if not mounted or mounted.returncode:
        pytest.skip("a small disk can be mounted only by root, on Linux")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_ends_training_with_a_message_and_leaves_a_run_that_goes_on(
    small_disk: Path, corpus: Path, tmp_path: Path
) -> None:
    changes = {"max_steps": 12, "validate_every": 2}
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, training=changes)
    run = small_disk / "run"
    outcome = inside("train", recipe, "--out", run)
    check_told(outcome, 1, f"cannot write {run}", "No space left on device", "MiB free there")
    assert "free some space" in outcome.err
    reached = info(run)["step"]
    assert 0 < reached < 12
    assert info(run)["complete"] is False
    assert not list(run.rglob("*.tmp"))
    again = inside("train", "--resume", run)
    check_told(again, 1, f"resuming {run} at step {reached}", "No space left on device")
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert inside("train", "--resume", run).code == 0
    assert info(run)["complete"] is True
    assert [e["step"] for e in journal(run) if e["kind"] == "train"] == list(range(1, 13))
    elsewhere = tmp_path / "elsewhere"
    assert inside("train", recipe, "--out", elsewhere).code == 0
    weights = [(place / "model.safetensors").read_bytes() for place in (run, elsewhere)]
    assert weights[0] == weights[1]


def test_a_run_whose_first_checkpoint_cannot_be_written_is_not_begun(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    outcome = outside("train", recipe, "--out", tmp_path / "run", preexec_fn=limit)
    check_told(outcome, 1, "cannot write", "File too large")
    assert list(tmp_path.iterdir()) == [recipe]
