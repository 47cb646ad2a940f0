"""What a training will take, from a dry run of its own parts in a process of its own.

The dry run reads the data, builds the model, tries the largest batch, takes a few steps, validates
on the longest sentences and writes one checkpoint into a temporary folder. Nothing of it is kept,
and the process that did it is gone: so its peak is the training's, and nobody else's.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polyhead import memory
from polyhead.config import Recipe, TrainingConfig
from polyhead.errors import OutOfMemoryError, PolyheadError, TrainingError
from polyhead.memory import shown
from polyhead.recipe.reading import load_recipe
from polyhead.runs.checkpoints import Checkpoints
from polyhead.training import need
from polyhead.training.loop import Trainer
from polyhead.training.progress import TrainingBar, clock, say
from polyhead.training.start import Prepared, prepare

STEPS, SECONDS, LEAST = 20, 15.0, 3  # the timed steps: so many, or as many as this time has
WARM_UP = 2
JOURNAL_LINE = 190  # bytes
_CHILD = (
    "from polyhead import machine; machine.prepare(); "
    "from polyhead.training.plan import measure_here; measure_here()"
)


@dataclass(frozen=True)
class Plan:
    """What a training takes. Bytes of memory are above what the program itself takes."""

    parameters: int
    peak_bytes: int
    disk_bytes: int
    seconds_per_step: float
    largest_batch_tokens: int
    batch_tokens: int
    free_bytes: int
    free_of: str  # whose limit free_bytes is
    fits: bool
    advice: str  # what to change where it does not fit
    steps: int
    validations: int
    seconds_per_validation: float  # at most: as of a model that never ends a sentence

    def as_dict(self) -> dict[str, Any]:
        """What `plan --json` prints."""
        keys = ("parameters", "peak_bytes", "disk_bytes", "seconds_per_step")
        return {key: getattr(self, key) for key in (*keys, "largest_batch_tokens")}

    def describe(self) -> str:
        """For a person."""
        steps = self.steps * self.seconds_per_step
        total = steps + self.validations * self.seconds_per_validation
        rows = {
            "parameters": f"{self.parameters:,}",
            "peak memory": f"{shown(self.peak_bytes)} above what the program itself takes; "
            f"{shown(self.free_bytes)} are free ({self.free_of})",
            "disk": f"{shown(self.disk_bytes)} in the run folder",
            "time per step": f"{self.seconds_per_step:.3g} s of {self.batch_tokens:,} batch_tokens",
            "total time": f"{clock(steps)} for {self.steps:,} steps, and at most "
            f"{clock(total - steps)} for {self.validations:,} validations",
            "largest batch": f"training.batch_tokens={self.largest_batch_tokens} fits",
        }
        lines = [f"{name:15}{text}" for name, text in rows.items()]
        return "\n".join(lines if self.fits else [*lines, f"It does not fit. {self.advice}"])


def plan(recipe: Recipe) -> Plan:
    """Measure a training in a process of its own; raises what the dry run raises."""
    given = json.dumps(recipe.model_dump(mode="json", exclude_unset=True))
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        out, _ = child.communicate(given)
    finally:
        child.kill()
    if child.returncode == -signal.SIGKILL:
        room, whose = memory.free()
        raise OutOfMemoryError(
            "the system killed the dry run, as it does where memory runs out "
            f"({shown(room)} are free now: {whose}). Lower training.batch_tokens"
        )
    if child.returncode:
        raise TrainingError(f"the dry run failed with exit code {child.returncode}; see above")
    answer = json.loads(out)
    if "error" in answer:
        raise _told_by_child(answer["error"], answer["exit_code"])
    return Plan(**answer)


def _told_by_child(message: str, exit_code: int) -> PolyheadError:
    error = PolyheadError(message)
    error.exit_code = exit_code
    return error


def measure_here() -> None:
    """The process `plan` starts: a recipe on stdin, the plan (or the error) as JSON to stdout."""
    base = memory.used()
    given = json.load(sys.stdin)
    try:
        answer = asdict(dry_run(load_recipe(given), base))
    except PolyheadError as error:
        answer = {"error": str(error), "exit_code": error.exit_code}
    except KeyboardInterrupt:
        os._exit(1)
    print(json.dumps(answer))


def dry_run(recipe: Recipe, base: int) -> Plan:
    """The plan of a recipe, from its parts done once; `base` are the bytes held before."""
    with tempfile.TemporaryDirectory(prefix="polyhead-plan-") as name:
        folder = Path(name)
        prepared = prepare(recipe, folder)
        trainer, needed = prepared.trainer, prepared.need
        room, whose = need.room_of(trainer)
        before = memory.used()
        fits = needed.of(needed.slots) <= room
        if fits:
            need.try_batch(trainer, need.largest_batch(trainer))
            seconds, tokens = _time_steps(trainer)
            validation = _time_validation(trainer)
            checkpoint, weights = _save(trainer, folder)
            peak = memory.peak() - base
        else:
            seconds, validation = _scaled_time(prepared, room), 0.0
            tokens = trainer.config.tokens_together * trainer.config.accumulate
            parameters = sum(p.numel() for p in trainer.model.parameters())
            checkpoint, weights = 12 * parameters, 4 * parameters
            peak = before - base + needed.of(needed.slots)
        training = trainer.config
        whole_step = seconds + validation / training.validate_every
        steps = _steps(training, len(trainer.plan), whole_step, tokens)
        saves = math.ceil(steps / training.validate_every)
        return Plan(
            parameters=sum(p.numel() for p in trainer.model.parameters()),
            peak_bytes=peak,
            disk_bytes=_disk(training, saves, checkpoint, weights)
            + steps // training.log_every * JOURNAL_LINE
            + _size(folder / "task"),
            seconds_per_step=seconds,
            largest_batch_tokens=needed.batch_tokens_within(room),
            batch_tokens=training.tokens_together,
            free_bytes=room,
            free_of=whose,
            fits=fits,
            advice="" if fits else need.advice(needed, trainer, room),
            steps=steps,
            validations=saves,
            seconds_per_validation=validation,
        )


def _time_steps(trainer: Trainer) -> tuple[float, float]:
    """Seconds and tokens a step: of the first, as if their batches were the epoch's average."""
    corpus, tokens = trainer.train_corpus, 0
    sizes: list[int] = []
    say(f"taking {STEPS} steps, or as many as {SECONDS:.0f} seconds have")
    trainer.model.train()
    for _ in range(WARM_UP):
        trainer.step()
    start, passed = time.perf_counter(), 0.0
    with TrainingBar(trainer.run.recipe.name) as bar:
        while len(sizes) < LEAST or (len(sizes) < STEPS and passed < SECONDS):
            batches, some, nll = trainer.step()
            passed = time.perf_counter() - start
            sizes.append(sum(corpus.slots(rows) for rows in batches))
            tokens += some
            bar.show(len(sizes), len(sizes) / STEPS, nll, tokens / passed, passed)
    usual = _usual_slots(trainer) / sum(sizes)
    return passed * usual, tokens * usual


def _usual_slots(trainer: Trainer) -> float:
    """Slots of an average step."""
    slots = [trainer.train_corpus.slots(rows) for rows in trainer.plan]
    return sum(slots) / _steps_per_epoch(trainer.config, len(slots))


def _scaled_time(prepared: Prepared, room: int) -> float:
    """Seconds a step where the largest batch does not fit: as of a part of it that does."""
    trainer, needed = prepared.trainer, prepared.need
    rows = need.largest_batch(trainer)
    share = needed.batch_tokens_within(room) / needed.batch_tokens
    some = rows[: max(1, int(len(rows) * min(share, 0.5)))]
    start = time.perf_counter()
    need.try_batch(trainer, some)
    passed = time.perf_counter() - start
    return passed * _usual_slots(trainer) / trainer.train_corpus.slots(some)


def _time_validation(trainer: Trainer) -> float:
    """Seconds a validation takes at most: of the longest examples, with all that it holds."""
    task, model, averaged = trainer.task, trainer.model, trainer.config.average_last
    say("validating on the longest examples")
    held = [
        {name: weight.clone() for name, weight in trainer.optimiser.weights().items()}
        for _ in range(averaged + (averaged > 1))
    ]
    part, times = task.hardest(trainer.valid_corpus)
    model.eval()
    start = time.perf_counter()
    for _ in range(1 + (averaged > 1)):  # the average is judged beside the last
        judged = task.judge(model, part)
    task.validate(model, part, judged)
    passed = time.perf_counter() - start
    model.train()
    del held
    return passed * times


def _save(trainer: Trainer, folder: Path) -> tuple[int, int]:
    """Write a checkpoint as training does: its bytes, and those of the weights alone."""
    path = Checkpoints(folder, keep=1, average_last=1).save(trainer.state())
    (folder / "task").mkdir()
    trainer.task.save(folder / "task")
    return _size(path), (path / "model.safetensors").stat().st_size


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*"))


def _steps_per_epoch(training: TrainingConfig, batches: int) -> int:
    return -(-batches // training.accumulate)


def _steps(training: TrainingConfig, batches: int, seconds: float, tokens: float) -> int:
    """Steps of so many seconds and tokens to the first end; early stopping is not foreseen."""
    ends = []
    if training.max_steps is not None:
        ends.append(float(training.max_steps))
    if training.max_epochs is not None:
        ends.append(training.max_epochs * _steps_per_epoch(training, batches))
    if training.max_minutes is not None:
        ends.append(training.max_minutes * 60 / seconds)
    if training.max_tokens is not None:
        ends.append(training.max_tokens / tokens)
    return math.ceil(min(ends))


def _disk(training: TrainingConfig, saves: int, whole: int, weights: int) -> int:
    """Bytes of the run's weights and checkpoints in the end (see runs/checkpoints.py)."""
    checkpoints = min(training.keep, saves) * whole
    if saves < training.keep:
        checkpoints += weights  # the one before the first step, which has no optimiser's means yet
    averaged = min(training.average_last - 1, max(0, saves - training.keep))
    return weights + checkpoints + averaged * weights
