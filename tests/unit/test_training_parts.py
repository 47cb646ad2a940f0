"""The parts of training, each alone: rates, dropout, counters, files, checkpoints, optimiser."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from polyhead.config import EarlyStoppingConfig, OptimizerConfig, ScheduleConfig, TrainingConfig
from polyhead.data.batching import on_device
from polyhead.data.examples import PairExamples, Ragged
from polyhead.errors import CheckpointError, RunError
from polyhead.files import (
    NEW,
    folder_faults,
    new_folder,
    swap,
    write_atomically,
    write_folder,
    write_json,
    write_text,
)
from polyhead.layers.dropout import Dropout
from polyhead.runs.checkpoints import Checkpoint, Checkpoints
from polyhead.training.course import Course
from polyhead.training.journal import Journal, forget_after, read
from polyhead.training.optimiser import Optimiser
from polyhead.training.schedule import factor

# --- the learning rate


def rate(kind: str, step: int, *, warmup: int = 100, steps: int = 1000) -> float:
    schedule = ScheduleConfig.model_validate({"kind": kind, "warmup_steps": warmup})
    return factor(schedule, step, step / steps)


@pytest.mark.parametrize("kind", ["noam", "cosine", "linear", "constant"])
def test_a_rate_warms_up_in_a_line_to_its_peak(kind: str) -> None:
    assert [rate(kind, step) for step in (1, 25, 50, 100)] == pytest.approx([0.01, 0.25, 0.5, 1.0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("noam", {200: math.sqrt(1 / 2), 400: 0.5, 1000: math.sqrt(0.1)}),
        ("linear", {325: 0.75, 550: 0.5, 1000: 0.0}),
        ("cosine", {325: 0.5 + 0.5 * math.cos(math.pi / 4), 550: 0.5, 1000: 0.0}),
        ("constant", {200: 1.0, 1000: 1.0}),
    ],
)
def test_a_rate_falls_as_its_kind_says(kind: str, expected: dict[int, float]) -> None:
    for step, value in expected.items():
        assert rate(kind, step) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("kind", ["noam", "cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0, 1, 7, 5000])
def test_a_rate_never_leaves_zero_to_one_and_never_rises_after_its_peak(
    kind: str, warmup: int
) -> None:
    values = [rate(kind, step, warmup=warmup) for step in range(1, 1001)]
    assert min(values) >= 0
    assert max(values) <= 1
    after = values[max(warmup - 1, 0) :]
    assert after == sorted(after, reverse=True)


def test_noam_is_the_papers_rate_over_its_peak() -> None:
    """d^-0.5 min(step^-0.5, step warmup^-1.5), whose peak is (d warmup)^-0.5."""
    for step in (1, 50, 100, 101, 5000):
        paper = min(step**-0.5, step * 100**-1.5)
        assert rate("noam", step) == pytest.approx(paper / 100**-0.5)


# --- dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    dropout = Dropout(p)
    dropped, total, count = 0, 0.0, 400_000
    found = dropout(torch.ones(400, 1000, dtype=dtype))
    assert found.dtype == dtype
    dropped = int((found == 0).sum())
    total = float(found.float().sum())
    rate_of = round(256 * p) / 256
    spread = math.sqrt(rate_of * (1 - rate_of) / count)
    assert dropped / count == pytest.approx(rate_of, abs=5 * spread)
    assert abs(rate_of - p) <= 1 / 512
    tolerance = 5 * spread / (1 - rate_of) + (0.004 if dtype == torch.bfloat16 else 1e-6)
    assert total / count == pytest.approx(1.0, abs=tolerance)
    assert len(found.unique()) == 2


def test_dropout_drops_neighbours_rows_and_columns_independently() -> None:
    torch.manual_seed(1)
    kept = (Dropout(0.5)(torch.ones(512, 512)) != 0).float() - 0.5
    for other in (kept.roll(1, 0), kept.roll(1, 1), kept.roll(8, 1), kept.t()):
        assert abs(float((kept * other).mean())) < 0.25 * 5 / 512
    assert float(kept.mean(0).abs().max()) < 0.15
    assert float(kept.mean(1).abs().max()) < 0.15


def test_dropout_is_the_same_for_the_same_seed() -> None:
    x = torch.randn(7, 13)  # an odd number of elements
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(Dropout(0.3)(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_adding_dropout_is_dropout_then_adding_in_value_and_gradients() -> None:
    dropout = Dropout(0.3)
    x, residual = (torch.randn(5, 9, requires_grad=True) for _ in range(2))
    results = []
    for way in (lambda: residual + dropout(x), lambda: dropout.add(residual, x)):
        torch.manual_seed(3)
        value = way()
        results.append((value, *torch.autograd.grad(value.square().sum(), (x, residual))))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
    assert bool((results[0][1] == 0).any())


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.5, False)])
def test_dropout_that_is_off_changes_nothing_and_draws_nothing(p: float, training: bool) -> None:
    dropout = Dropout(p).train(training)
    x, residual = torch.randn(2, 3, 4)
    state = torch.get_rng_state()
    assert torch.equal(dropout(x), x)
    assert torch.equal(dropout.add(residual, x), residual + x)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_highest_rate_a_recipe_may_name_still_keeps_something() -> None:
    torch.manual_seed(1)
    found = Dropout(0.9999)(torch.ones(100, 1000))
    assert 0 < int((found != 0).sum()) < 1000
    assert bool(found.isfinite().all())


# --- where a training is


def training(**values: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({"max_steps": 100} | values)


def test_the_nearest_limit_ends_a_training() -> None:
    config = training(max_minutes=2, max_epochs=1.5, max_tokens=1000)
    course = Course(step=50, seconds=30, epoch=0, batch=3, batches_in_epoch=4, all_tokens=400)
    assert course.epochs == 0.75
    assert course.end(config) is None
    assert course.progress(config) == 0.5
    for change, reason in (
        ({"step": 100}, "max_steps"),
        ({"seconds": 120.0}, "max_minutes"),
        ({"epoch": 1, "batch": 2}, "max_epochs"),
        ({"all_tokens": 1003}, "max_tokens"),
        ({"waited": 8}, "early_stopping"),
    ):
        other = Course(**(course.as_dict() | change))
        assert other.end(config) == reason
        if reason != "early_stopping":
            assert other.progress(config) == 1.0


def test_early_stopping_can_be_switched_off() -> None:
    stopping = EarlyStoppingConfig(metric="none")
    assert Course(step=5, waited=1000).end(training(early_stopping=stopping)) is None


@pytest.mark.parametrize(
    ("metric", "values", "better"),
    [
        ("nll", [3.0, 2.5, 2.5, 2.7, 2.0], [True, True, False, False, True]),
        ("bleu", [3.0, 2.5, 3.0, 4.0, 1.0], [True, False, False, True, False]),
        ("chrf", [1.0, 2.0], [True, True]),
    ],
)
def test_a_lower_nll_or_a_higher_score_is_better(
    metric: str, values: list[float], better: list[bool]
) -> None:
    course = Course()
    found = []
    for step, value in enumerate(values, start=1):
        course.step = step
        found.append(course.judge(metric, value))
    assert found == better
    last = max(i for i, b in enumerate(better) if b)
    assert (course.best, course.best_step) == (values[last], last + 1)
    assert course.waited == len(values) - 1 - last


def losses(hard_every: int | None) -> list[float]:
    """3,000 batches' nll about 1.3; every so many, one of the hard corpus has 2.7."""
    noise = np.random.default_rng(1).normal(0, 0.1, 3000)
    hard = np.arange(3000) % (hard_every or 10_000) == 7
    return list(np.where(hard, 2.7, 1.3) + noise)


@pytest.mark.parametrize("hard_every", [None, 40])
def test_a_jump_is_told_but_not_the_corpus_that_is_harder(hard_every: int | None) -> None:
    course, told = Course(), []
    nlls = losses(hard_every)
    nlls[2000] = 6.5
    for course.step, nll in enumerate(nlls, 1):
        times = course.jumped(nll)
        if times is not None:
            told.append((course.step, times))
    assert len(told) <= 3  # while a hard corpus is not known yet, it may be told
    step, times = told[-1]
    assert (step, round(times)) == (2001, 5)


def test_a_loss_of_nothing_is_no_jump() -> None:
    course = Course()
    for course.step in range(1, 300):
        assert course.jumped(0.0) is None


def test_a_course_survives_json() -> None:
    course = Course(step=7, epoch=1, batch=3, batches_in_epoch=9, seconds=0.1, usual_nll=1 / 3)
    assert Course(**json.loads(json.dumps(course.as_dict()))) == course


# --- the journal


def write_journal(path: Path, steps: list[int]) -> None:
    journal = Journal(path)
    for step in steps:
        journal.write({"kind": "train", "step": step, "loss": step / 3})
    journal.close()


def test_a_journal_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_journal(path, [1, 2])
    write_journal(path, [3])
    assert [e["step"] for e in read(path)] == [1, 2, 3]
    assert read(path)[0]["loss"] == 1 / 3


def test_what_was_written_beyond_a_step_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_journal(path, [1, 2, 3, 4])
    before = path.read_text().splitlines()
    forget_after(path, 2)
    assert path.read_text().splitlines() == before[:2]
    write_journal(path, [3])
    assert [e["step"] for e in read(path)] == [1, 2, 3]


@pytest.mark.parametrize("half", [b'{"kind": "tra', b'{"kind": "\xec\x95', b'{"a": 1}\n{"step": '])
def test_a_last_line_cut_off_by_a_crash_is_left_out(tmp_path: Path, half: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    write_journal(path, [1, 2])
    with path.open("ab") as file:
        file.write(half.replace(b'{"a": 1}', b'{"kind": "train", "step": 3}'))
    assert [e["step"] for e in read(path)][:2] == [1, 2]
    forget_after(path, 2)
    write_journal(path, [3])
    assert [e["step"] for e in read(path)] == [1, 2, 3]


def test_a_damaged_line_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nhalf\n{"step": 2}\n')
    with pytest.raises(RunError, match="line 2: not valid JSON"):
        read(path)


def test_no_journal_has_no_entries_but_an_unreadable_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read(path) == []
    path.mkdir()
    with pytest.raises(RunError, match="cannot be read: Is a directory"):
        forget_after(path, 1)


# --- files


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == ["x.txt"]


def test_a_full_disk_is_told_in_plain_words_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")

    def full(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match=r"No space left on device.*MiB free.*is untouched"):
        write_atomically(path, full)
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == ["x.txt"]


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "step"
    write_folder(path, lambda folder: write_json(folder / "a.json", {"한": 1}))
    assert folder_faults(path) == []

    def fail(folder: Path) -> None:
        write_text(folder / "b.txt", "half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="cannot write"):
        write_folder(path, fail)
    assert leftovers(tmp_path) == ["step"]
    assert leftovers(path) == ["a.json", "checksums.json"]
    write_folder(path, lambda folder: write_text(folder / "c.txt", "new"))
    assert leftovers(path) == ["c.txt", "checksums.json"]


@pytest.mark.parametrize("there", [True, False])
def test_a_new_folder_is_whole_or_not_there(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "out"
    if there:
        (path / NEW).mkdir(parents=True)  # what a crash left

    def fill(folder: Path) -> None:
        (folder / "inner").mkdir()
        write_text(folder / "run.json", "{}")
        write_text(folder / "weights", "all")

    def fail(folder: Path) -> None:
        fill(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="cannot write"):
        new_folder(path, fail)
    assert leftovers(tmp_path) == (["out"] if there else [])
    assert not there or leftovers(path) == []
    new_folder(path, fill)
    assert leftovers(path) == ["inner", "run.json", "weights"]


def test_what_says_that_a_folder_is_a_run_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, moved = tmp_path / "out", []
    replace = Path.replace
    path.mkdir()
    monkeypatch.setattr(Path, "replace", lambda p, to: (moved.append(p.name), replace(p, to))[1])
    names = ("a.txt", "run.json", "weights")
    new_folder(path, lambda folder: [(folder / name).touch() for name in names] and None)
    assert moved == ["a.txt", "weights", "run.json"]


def test_a_folder_that_cannot_get_its_name_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, new = tmp_path / "x", tmp_path / "new"
    for folder in (path, new):
        folder.mkdir()
        (folder / folder.name).touch()
    replace = Path.replace

    def refuse(p: Path, to: Path) -> Path:
        if p == new:
            raise OSError(28, "No space left on device")
        return replace(p, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match="No space"):
            swap(new, path)
    assert (leftovers(path), leftovers(tmp_path)) == (["x"], ["new", "x"])
    swap(new, path)
    assert (leftovers(path), leftovers(tmp_path)) == (["new"], ["x"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "a.txt").write_text("changed"), "does not match its checksum"),
        (lambda p: (p / "a.txt").unlink(), "a.txt is missing"),
        (lambda p: (p / "checksums.json").unlink(), "checksums.json is missing or unreadable"),
        (lambda p: (p / "checksums.json").write_text("{"), "is missing or unreadable"),
    ],
)
def test_damage_to_a_folder_is_found(tmp_path: Path, damage: Any, message: str) -> None:
    path = tmp_path / "step"
    write_folder(path, lambda folder: write_text(folder / "a.txt", "content"))
    damage(path)
    (fault,) = folder_faults(path)
    assert message in fault


# --- checkpoints


def checkpoint(step: int, *, validated: bool = True) -> Checkpoint:
    tensors = {
        "model": {"w": torch.full((2, 3), float(step))},
        "optimiser": {"w:exp_avg": torch.full((2, 3), -float(step))},
        "random": {"cpu": torch.arange(4, dtype=torch.uint8)},
    }
    return Checkpoint(step, tensors, {"step": step, "validated": validated, "seconds": 0.1})


def saved(tmp_path: Path, steps: list[int], *, keep: int = 3, average: int = 1) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path, keep=keep, average_last=average)
    for step in steps:
        checkpoints.save(checkpoint(step))
    return checkpoints


def newest(checkpoints: Checkpoints) -> tuple[Checkpoint, list[str]]:
    said: list[str] = []
    return checkpoints.newest(said.append), said


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    found, said = newest(saved(tmp_path, [10, 20]))
    expected = checkpoint(20)
    assert (found.step, found.values, said) == (20, expected.values, [])
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensors in expected.tensors.items():
        for key, tensor in tensors.items():
            assert torch.equal(found.tensors[name][key], tensor)
            assert found.tensors[name][key].dtype == tensor.dtype


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("damage", [_truncate, _flip, Path.unlink])
@pytest.mark.parametrize(
    "file", ["model.safetensors", "optimiser.safetensors", "random.safetensors", "state.json"]
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path: Path, damage: Any, file: str
) -> None:
    checkpoints = saved(tmp_path, [10, 20, 30])
    damage(tmp_path / "checkpoints" / "step-00000030" / file)
    found, said = newest(checkpoints)
    assert found.step == 20
    (line,) = said
    assert "step-00000030 is damaged" in line
    assert file in line


def test_a_checkpoint_half_written_under_its_temporary_name_is_nothing(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, [10])
    half = tmp_path / "checkpoints" / ".step-00000020.77.tmp"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    aside = half.with_name(".step-00000010.77.old")
    aside.mkdir()
    assert newest(checkpoints)[0].step == 10
    checkpoints.save(checkpoint(30))
    assert not half.exists()
    assert not aside.exists()


def test_without_a_usable_checkpoint_that_is_told(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, [10])
    _flip(tmp_path / "checkpoints" / "step-00000010" / "model.safetensors")
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        newest(checkpoints)


def test_only_so_many_checkpoints_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, [1, 2, 3, 4, 5], keep=2)
    assert leftovers(tmp_path / "checkpoints") == ["step-00000004", "step-00000005"]


def test_weights_are_kept_for_averaging_but_never_resumed_from(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, [1, 2, 3, 4, 5], keep=1, average=3)
    names = ["step-00000005", "weights-00000003", "weights-00000004"]
    assert leftovers(tmp_path / "checkpoints") == names
    assert not any(folder_faults(tmp_path / "checkpoints" / name) for name in names)
    assert "optimiser.safetensors" not in leftovers(tmp_path / "checkpoints" / names[1])
    recent = checkpoints.recent_weights(before=5)
    assert [float(weights["w"][0, 0]) for weights in recent] == [4.0, 3.0]
    _flip(tmp_path / "checkpoints" / "step-00000005" / "model.safetensors")
    with pytest.raises(CheckpointError):
        newest(checkpoints)


def test_a_damaged_checkpoint_gives_its_place_in_the_average_to_an_older_one(
    tmp_path: Path,
) -> None:
    checkpoints = saved(tmp_path, [1, 2, 3, 4], keep=4, average=3)
    _flip(tmp_path / "checkpoints" / "step-00000003" / "model.safetensors")
    recent = checkpoints.recent_weights(before=4)
    assert [float(weights["w"][0, 0]) for weights in recent] == [2.0, 1.0]


def test_an_interruption_does_not_enter_the_average(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=5, average_last=3)
    for step, validated in ((1, True), (2, False), (3, True)):
        checkpoints.save(checkpoint(step, validated=validated))
    recent = checkpoints.recent_weights(before=4)
    assert [float(weights["w"][0, 0]) for weights in recent] == [3.0, 1.0]


def test_checkpoints_beyond_a_step_are_forgotten(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, [10, 20, 30])
    checkpoints.forget_after(20)
    assert newest(checkpoints)[0].step == 20


# --- the optimiser


def small_model() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3))


def gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 6, generator=generator).to(next(model.parameters()).dtype)
    model(x).float().square().sum().backward()


@pytest.mark.parametrize("kind", ["adam", "adamw"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_in_fp32_it_is_torchs_adam(kind: str, decay: float, clip: float | None) -> None:
    config = OptimizerConfig(kind=kind, lr=0.01, weight_decay=decay)  # type: ignore[arg-type]
    model, other = small_model(), small_model()
    ours = Optimiser(model, config, clip)
    make = torch.optim.AdamW if kind == "adamw" else torch.optim.Adam
    vectors = [p for p in other.parameters() if p.dim() == 1]
    matrices = [p for p in other.parameters() if p.dim() > 1]
    theirs = make(
        [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}],
        betas=config.betas,
        eps=config.eps,
    )
    clipped = 0
    for step in range(5):
        lr = 0.01 / (step + 1)
        gradients(model, step)
        gradients(other, step)
        expected = nn.utils.clip_grad_norm_(other.parameters(), clip or math.inf)
        clipped += clip is not None and bool(expected > clip)
        for group in theirs.param_groups:
            group["lr"] = lr
        theirs.step()
        theirs.zero_grad()
        assert ours.step(lr) == pytest.approx(float(expected), rel=1e-5)
        ours.zero()
    assert (clipped > 0) == (clip is not None)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_forgotten_gradients_are_gone(dtype: torch.dtype) -> None:
    model = small_model().to(dtype)
    optimiser = Optimiser(model, OptimizerConfig(), None)
    gradients(model, 1)
    optimiser.step(0.1)
    optimiser.zero()
    assert all(p.grad is None for p in (*model.parameters(), *optimiser.masters))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_applies_nothing(bad: float) -> None:
    model = small_model()
    optimiser = Optimiser(model, OptimizerConfig(), 1.0)
    before = {name: w.clone() for name, w in optimiser.weights().items()}
    gradients(model, 1)
    next(model.parameters()).grad.view(-1)[0] = bad  # type: ignore[union-attr]
    assert not math.isfinite(optimiser.step(0.1))
    assert all(torch.equal(before[name], w) for name, w in optimiser.weights().items())
    assert optimiser.state() == {}


def test_in_bf16_small_steps_add_up_in_fp32_masters() -> None:
    model = small_model().to(torch.bfloat16)
    optimiser = Optimiser(model, OptimizerConfig(lr=1e-5, betas=(0.0, 0.0)), None)
    before = {name: w.clone() for name, w in optimiser.weights().items()}
    for _ in range(20):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step(1e-5)
    for name, weight in optimiser.weights().items():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(
            before[name] - weight, torch.full_like(weight, 2e-4), atol=1e-6, rtol=0
        )
    for parameter, weight in zip(model.parameters(), optimiser.weights().values(), strict=True):
        assert parameter.dtype == torch.bfloat16
        assert torch.equal(parameter, weight.bfloat16())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_going_back_to_a_saved_state_is_exact(dtype: torch.dtype) -> None:
    def go(optimiser: Optimiser, model: nn.Module, steps: range) -> None:
        for step in steps:
            gradients(model, step)
            optimiser.step(0.01)
            optimiser.zero()

    model = small_model().to(dtype)
    first = Optimiser(model, OptimizerConfig(), 1.0)
    go(first, model, range(3))
    weights = {name: w.clone() for name, w in first.weights().items()}
    state = {name: t.clone() for name, t in first.state().items()}
    go(first, model, range(3, 6))

    other = small_model().to(dtype)
    second = Optimiser(other, OptimizerConfig(), 1.0)
    go(second, other, range(7, 9))
    second.load(weights, state)
    go(second, other, range(3, 6))
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    for name, tensor in first.state().items():
        assert torch.equal(second.state()[name], tensor)


# --- sixteen bits


def test_fp16_trains_as_fp32_does_and_an_overflow_applies_nothing_and_scales_less() -> None:
    torch.manual_seed(1)
    whole, half = nn.Linear(8, 8), nn.Linear(8, 8)
    half.load_state_dict(whole.state_dict())
    half.half()
    optimisers = [Optimiser(m, OptimizerConfig(), 1.0) for m in (whole, half)]
    x = torch.randn(16, 8)
    for _ in range(5):
        for model, optimiser in zip((whole, half), optimisers, strict=True):
            loss = model(x.to(model.weight.dtype)).float().square().mean() * 1e-4
            optimiser.scaled(loss).backward()
            assert math.isfinite(optimiser.step(1e-3))
            optimiser.zero()
    assert optimisers[0].may_overflow is False
    for name, weight in optimisers[1].weights().items():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(weight, optimisers[0].weights()[name], atol=2e-3, rtol=0)
    optimiser, scale = optimisers[1], optimisers[1].scaler.get_scale()
    before = {name: weight.clone() for name, weight in optimiser.weights().items()}
    optimiser.scaled(half(x.half()).float().square().sum() * 1e4).backward()
    assert not math.isfinite(optimiser.step(1e-3))
    assert optimiser.may_overflow
    assert optimiser.scaler.get_scale() == scale / 2
    assert all(torch.equal(before[name], weight) for name, weight in optimiser.weights().items())


def test_a_batch_goes_to_a_device_whole() -> None:
    rows = Ragged([[5, 6, 3], [7, 3]])
    batch = PairExamples(rows, rows, 0, 0).batch(np.array([1, 0]))
    moved = on_device(batch, "meta")
    tensors = [v for v in vars(moved).values() if isinstance(v, torch.Tensor)]
    assert len(tensors) == 5
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.indices.tolist() == [1, 0]
