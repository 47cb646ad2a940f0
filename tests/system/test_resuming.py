"""A stopped, killed or damaged training goes on as if nothing had been: to the bit."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from polyhead_system import (
    ENVIRONMENT,
    change_info,
    check_told,
    finish,
    info,
    inside,
    journal,
    outside,
    start,
    tensors_of,
    write_recipe,
)

pytestmark = pytest.mark.xdist_group("resuming")
LAST = "step-00000040"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """With all that has a state: dropout, accumulation, averages, early stopping, long windows."""
    folder = tmp_path_factory.mktemp("recipe")
    for name in ("train", "valid"):
        for end in ("ko", "en"):
            shutil.copy(corpus / f"{name}.{end}", folder)
    parts = {part: {"source": f"{part}.ko", "target": f"{part}.en"} for part in ("train", "valid")}
    return write_recipe(
        folder / "recipe.yaml",
        corpus,
        model={"dropout": 0.1},
        data=parts,
        training={
            "max_steps": 40,
            "validate_every": 10,
            "log_every": 3,
            "accumulate": 2,
            "average_last": 3,
            "keep": 2,
            "early_stopping": {"metric": "chrf", "patience": 30},
        },
    )


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training that nobody interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    outcome = outside("train", recipe, "--out", run)
    assert outcome.code == 0, outcome.err
    return run


@pytest.fixture
def stopped(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that does not know that it is complete."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    change_info(run, complete=False, stopped_because=None)
    return run


def check_same(run: Path, whole: Path) -> None:
    """Every loss, every validation, every weight, moment and random state is the same."""
    timings = {"seconds", "tokens_per_second"}

    def entries(run: Path) -> list[dict[str, Any]]:
        return [{k: v for k, v in e.items() if k not in timings} for e in journal(run)]

    assert entries(run) == entries(whole)
    steps = [(e["kind"], e["step"]) for e in entries(run)]
    assert len(steps) == len(set(steps))
    assert dict(tensors_of(run)) == dict(tensors_of(whole))
    facts = [{k: v for k, v in info(r).items() if k != "peak_bytes"} for r in (run, whole)]
    assert facts[0] == facts[1]


def send_after(process: subprocess.Popen[bytes], run: Path, step: int, number: int) -> None:
    """Send a signal once the journal shows that a step is done."""
    metrics = run / "metrics.jsonl"
    while process.poll() is None and not (
        metrics.is_file()
        and any(f'"step": {n},' in metrics.read_text() for n in range(step, step + 10))
    ):
        time.sleep(0.002)
    process.send_signal(number)


def test_verify_resume_proves_that_a_killed_training_goes_on_to_the_bit(recipe: Path) -> None:
    outcome = outside("verify-resume", recipe, "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.json()
    assert found.keys() == {"identical", "steps_compared", "killed_at_step", "max_difference"}
    assert found["identical"] is True
    assert found["max_difference"] == 0
    assert found["steps_compared"] == 30
    assert 17 <= found["killed_at_step"] <= 30


def test_verify_resume_is_not_stopped_early(recipe: Path) -> None:
    impatient = ("training.early_stopping.metric=bleu", "training.early_stopping.patience=1")
    outcome = outside("verify-resume", recipe, *impatient, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json()["steps_compared"] == 30


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_saves_says_how_to_go_on_and_exits_0(
    recipe: Path, whole: Path, tmp_path: Path, name: str
) -> None:
    run = tmp_path / "run"
    process = start("train", recipe, "--out", run)
    send_after(process, run, 3, signal.Signals[name])
    outcome = finish(process)
    assert outcome.code == 0
    assert f"stopped by {name} at step " in outcome.err
    assert f"polyhead train --resume {run}" in outcome.err
    assert "Traceback" not in outcome.err
    assert info(run)["complete"] is False
    assert info(run)["stopped_because"] == name
    assert 0 < info(run)["step"] < 40
    assert inside("translate", run, stdin=b"\n").code == 0  # it has weights already
    card = (run / "README.md").read_text(encoding="utf-8")
    assert f"**Training is not complete**: it has come to step {info(run)['step']}, and" in card
    assert f"| stopped because of | {name} |" in card
    outcome = inside("train", "--resume", run)
    assert outcome.code == 0
    assert f"resuming {run} at step " in outcome.err
    assert "not complete" not in (run / "README.md").read_text(encoding="utf-8")
    check_same(run, whole)


def test_a_training_killed_before_its_first_validation_goes_on(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = start("train", recipe, "--out", run, stdout=subprocess.DEVNULL)
    while process.poll() is None and not run.exists():
        time.sleep(0.002)
    process.kill()
    finish(process)
    assert inside("train", "--resume", run).code == 0
    check_same(run, whole)


KILLED_AT_A_RENAME = """
import os, signal, sys
from pathlib import Path
import polyhead.training.start, polyhead.tasks.translation, polyhead.models.transformer
from polyhead.cli.main import main

recipe, out, *moments = sys.argv[1:]
for moment in moments:
    if os.fork():
        os.wait()
        continue
    renames, rename = 0, Path.replace

    def killed(self, target):
        global renames
        renames += 1
        if renames == int(moment):
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.replace = killed
    main(["train", recipe, "--out", f"{out}/{moment}"])
"""


def test_a_kill_before_any_rename_leaves_a_run_that_goes_on_or_none(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    moments = (1, 5, 6, 8)  # a file, the folder, the first weights, the checkpoint
    command = [sys.executable, "-c", KILLED_AT_A_RENAME, recipe, tmp_path, *map(str, moments)]
    environment = ENVIRONMENT | {"TOKENIZERS_PARALLELISM": "false"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    resumed = 0
    for moment in moments:
        run = tmp_path / str(moment)
        if run.exists():
            resumed += 1
            assert (run / "run.json").is_file()
            assert inside("train", "--resume", run).code == 0
            check_same(run, whole)
    assert not (tmp_path / "1").exists()
    assert resumed == 2
    assert inside("train", recipe, "training.max_steps=1", "--out", tmp_path / "1").code == 0


def truncate(checkpoint: Path) -> str:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    return file.name


def flip_a_bit(checkpoint: Path) -> str:
    file = checkpoint / "optimiser.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 4
    file.write_bytes(content)
    return file.name


def cut_the_state(checkpoint: Path) -> str:
    (checkpoint / "state.json").write_text("{", encoding="utf-8")
    return "state.json"


def lose_a_file(checkpoint: Path) -> str:
    (checkpoint / "random.safetensors").unlink()
    return "random.safetensors"


def empty_the_sums(checkpoint: Path) -> str:
    (checkpoint / "checksums.json").write_bytes(b"")
    return "checksums.json"


@pytest.mark.parametrize(
    "damage", [truncate, flip_a_bit, cut_the_state, lose_a_file, empty_the_sums]
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    whole: Path, stopped: Path, damage: Any
) -> None:
    name = damage(stopped / "checkpoints" / LAST)
    outcome = inside("train", "--resume", stopped)
    assert outcome.code == 0
    assert f"checkpoint {LAST} is damaged" in outcome.err
    assert name in outcome.err
    assert "resuming " in outcome.err
    assert "at step 30" in outcome.err
    check_same(stopped, whole)


def test_averages_are_the_same_after_going_back_as_far_as_checkpoints_are_kept(
    recipe: Path, tmp_path: Path
) -> None:
    run, longer = tmp_path / "run", ("training.keep=3", "training.max_steps=60")
    assert inside("train", recipe, *longer, "--out", run).code == 0
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    change_info(copy, complete=False)
    for name in ("step-00000060", "step-00000050"):
        truncate(copy / "checkpoints" / name)
    outcome = inside("train", "--resume", copy)
    assert outcome.code == 0
    assert "at step 40" in outcome.err
    check_same(copy, run)


def test_where_every_checkpoint_is_damaged_that_is_said_and_nothing_deleted(
    stopped: Path,
) -> None:
    checkpoints = sorted(p.name for p in (stopped / "checkpoints").iterdir())
    whole_ones = [LAST, "step-00000030"]
    for name in whole_ones:
        truncate(stopped / "checkpoints" / name)
    outcome = inside("train", "--resume", stopped)
    check_told(
        outcome, 1, *whole_ones, "no whole checkpoint", "begin a new run", "polyhead finetune"
    )
    assert sorted(p.name for p in (stopped / "checkpoints").iterdir()) == checkpoints
    assert inside("translate", stopped, stdin=b"\n").code == 0


def test_what_a_crash_left_half_written_is_ignored_and_cleared_away(
    whole: Path, stopped: Path
) -> None:
    shutil.rmtree(stopped / "checkpoints" / LAST)
    leftover = stopped / "checkpoints" / f".{LAST}.99999.tmp"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    (stopped / ".model.safetensors.99999.tmp").write_bytes(b"half")
    with (stopped / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "train", "step": 4')
    assert inside("train", "--resume", stopped).code == 0
    check_same(stopped, whole)
    assert not leftover.exists()
    assert not list(stopped.glob(".*"))


def test_what_else_lies_among_the_checkpoints_is_left_alone(stopped: Path) -> None:
    newest = max((stopped / "checkpoints").iterdir())
    copy = Path(shutil.copytree(newest, newest.with_name(f"{newest.name}.bak")))
    outcome = inside("train", "--resume", stopped)
    assert outcome.code == 0, outcome.err
    assert copy.is_dir()


def test_a_complete_run_is_not_resumed(whole: Path) -> None:
    check_told(inside("train", "--resume", whole), 1, "complete", "step 40", "max_steps")


def test_a_changed_recipe_is_shown_as_a_diff_and_changes_nothing(stopped: Path) -> None:
    before = dict(tensors_of(stopped))
    path = stopped / "recipe.yaml"
    changed = yaml.safe_load(path.read_text(encoding="utf-8"))
    changed["training"]["optimizer"]["lr"] = 0.02
    changed["model"]["dropout"] = 0.3
    path.write_text(yaml.safe_dump(changed, allow_unicode=True), encoding="utf-8")
    outcome = inside("train", "--resume", stopped)
    check_told(outcome, 1, "training.optimizer.lr: 0.01 -> 0.02", "model.dropout: 0.1 -> 0.3")
    assert "undo the changes" in outcome.err
    assert "max_steps" not in outcome.err
    assert dict(tensors_of(stopped)) == before
    override = inside("train", "--resume", stopped, "training.max_steps=99")
    check_told(override, 1, "training.max_steps: 40 -> 99")


@pytest.mark.parametrize(("part", "word"), [("train", "training"), ("valid", "validation")])
def test_changed_data_is_refused_and_nothing_is_lost(
    recipe: Path, stopped: Path, part: str, word: str
) -> None:
    before = dict(tensors_of(stopped)), journal(stopped)
    file = recipe.parent / f"{part}.en"
    original = file.read_text(encoding="utf-8")
    try:
        file.write_text(original.replace("the", "this", 1), encoding="utf-8")
        check_told(inside("train", "--resume", stopped), 1, f"the {word} data has changed")
        file.unlink()
        check_told(inside("train", "--resume", stopped), 1, f"{file}: no such file")
    finally:
        file.write_text(original, encoding="utf-8")
    assert (dict(tensors_of(stopped)), journal(stopped)) == before


def test_data_that_moved_is_found_where_one_says_and_only_if_it_is_the_same(
    recipe: Path, whole: Path, stopped: Path, tmp_path: Path
) -> None:
    shutil.rmtree(stopped / "checkpoints" / LAST)
    new = tmp_path / "new"
    new.mkdir()
    moved = []
    for part, key in (("train", "data.train.0"), ("valid", "data.valid")):
        for side, end in (("source", "ko"), ("target", "en")):
            shutil.copy(recipe.parent / f"{part}.{end}", new)
            moved.append(f"{key}.{side}={new / part}.{end}")
    text = (new / "valid.en").read_text(encoding="utf-8")
    (new / "valid.en").write_text(text.replace("the", "this", 1), encoding="utf-8")
    told = inside("train", "--resume", stopped, *moved)
    check_told(told, 1, "the validation data has changed")
    (new / "valid.en").write_text(text, encoding="utf-8")
    told = inside("train", "--resume", stopped, *moved, "seed=4")
    check_told(told, 1, "seed: 3 -> 4", "Only the places of data files may change")
    assert "data.train" not in told.err
    outcome = inside("train", "--resume", stopped, *moved)
    assert outcome.code == 0
    assert "the data has moved, and is the same" in outcome.err
    check_same(stopped, whole)
    assert str(new / "train.ko") in (stopped / "recipe.yaml").read_text(encoding="utf-8")


def test_every_missing_file_of_a_run_is_named_at_once_with_what_to_do(
    recipe: Path, stopped: Path, tmp_path: Path
) -> None:
    gone = [f"data.{key}.source={tmp_path / 'gone.ko'}" for key in ("train.0", "valid")]
    told = inside("train", "--resume", stopped, *gone)
    check_told(told, 1, "2 files of the recipe", "data.train.source: ", "data.valid.source: ")
    assert (
        f"polyhead train --resume {stopped} data.train.source=NEW data.valid.source=NEW" in told.err
    )


def test_resume_wants_a_run_and_nothing_else(recipe: Path, whole: Path, tmp_path: Path) -> None:
    check_told(inside("train", "--resume", tmp_path / "no"), 2, "no run folder", "polyhead train")
    check_told(inside("train", "--resume", recipe.parent), 2, "not a run folder", "no run.json")
    check_told(inside("train", recipe, "--resume", whole), 2, "--resume takes a run folder")
    out = ("--out", tmp_path / "x")
    check_told(inside("train", "--resume", whole, *out), 2, "--out does not go with it")


def test_a_metrics_file_that_is_damaged_is_named_with_its_line(stopped: Path) -> None:
    lines = (stopped / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    lines[1] = b"\xff\xfe\n"
    (stopped / "metrics.jsonl").write_bytes(b"".join(lines))
    check_told(inside("train", "--resume", stopped), 1, "metrics.jsonl, line 2", "not valid JSON")
