"""One training a run folder, and a training that is stopped before it has begun."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from polyhead_system import change_info, check_told, finish, inside, start, write_recipe

from polyhead.data.corpus import Corpus
from polyhead.errors import RunError
from polyhead.runs.lock import only_writer

pytestmark = pytest.mark.xdist_group("trained")


@pytest.fixture
def waiting(corpus: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A training that has begun to read a pipe into which nobody writes, and its recipe."""
    pipe = tmp_path / "pipe.ko"
    os.mkfifo(pipe)
    train = {"source": str(pipe), "target": str(corpus / "train.en")}
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, data={"train": train})
    process = start("train", recipe, "--out", tmp_path / "runs" / "run")
    with pipe.open("wb"):  # which opens once it is read
        yield process, recipe
        process.kill()
        process.wait()


def test_a_second_training_into_the_same_place_names_the_first_which_ends_cleanly(
    waiting: tuple[subprocess.Popen[bytes], Path], corpus: Path
) -> None:
    process, recipe = waiting
    run = recipe.parent / "runs" / "run"
    told = inside("train", recipe, "--out", run)
    check_told(told, 1, f"{run} is in use: process {process.pid} is training there", "--out")
    process.send_signal(signal.SIGTERM)
    outcome = finish(process)
    assert outcome.code == 0
    assert f"stopped by SIGTERM: training had not begun, and {run} was not made" in outcome.err
    assert "Traceback" not in outcome.err
    assert sorted(p.name for p in recipe.parent.iterdir()) == ["pipe.ko", "recipe.yaml"]


def test_a_training_killed_while_it_prepares_blocks_nobody(
    waiting: tuple[subprocess.Popen[bytes], Path], corpus: Path, tmp_path: Path
) -> None:
    process, recipe = waiting
    run = recipe.parent / "runs" / "run"
    process.kill()
    process.wait()
    assert (run.parent / ".run.lock").is_file()
    recipe = write_recipe(recipe, corpus, training={"max_steps": 1})
    assert inside("train", recipe, "--out", run).code == 0
    assert [p.name for p in run.parent.iterdir()] == ["run"]
    assert not (run / ".lock").exists()


def test_a_run_in_training_is_not_resumed_and_a_stale_lock_does_not_matter(
    trained: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    change_info(run, complete=False)
    with only_writer(run):
        told = inside("train", "--resume", run)
        check_told(told, 1, f"{run} is in use: process {os.getpid()} is training there")
    (run / ".lock").write_text("1 elsewhere", encoding="utf-8")
    assert inside("train", "--resume", run).code == 0
    assert not (run / ".lock").exists()


def test_a_lock_is_free_again_after_a_fault_and_leaves_no_folder(tmp_path: Path) -> None:
    run = tmp_path / "a" / "b" / "run"
    with only_writer(run):
        again = only_writer(run)
        with pytest.raises(RunError, match=f"in use: process {os.getpid()} "):
            again.__enter__()
    assert not (tmp_path / "a").exists()
    fault = only_writer(run)
    fault.__enter__()
    fault.__exit__(OSError, OSError(), None)
    assert not (tmp_path / "a").exists()
    with only_writer(run) as inside_it:
        assert not inside_it


def test_the_longest_output_of_a_recipe_holds_in_validation_and_data_is_hashed_once(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    digest = Corpus.fingerprint.func
    monkeypatch.setattr(Corpus.fingerprint, "func", lambda c: hashed.append(c) or digest(c))
    recipe = write_recipe(
        tmp_path / "recipe.yaml",
        corpus,
        decoding={"max_length": 2},
        training={"validate_every": 1},
    )
    outcome = inside("train", recipe, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert len(hashed) == 2  # two corpora; there were seven checkpoints
    shown = [line for line in outcome.err.splitlines() if line.startswith("  model: ")]
    assert len(shown) == 6
    assert max(len(line.removeprefix("  model: ").split()) for line in shown) <= 2
