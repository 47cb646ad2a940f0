"""Where a training is: plain values, saved whole in every checkpoint."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from polyhead.config import TrainingConfig

USUAL_OVER = 100  # steps over which the usual loss is averaged
JUMP = 2.0  # a loss this many times the usual one is a jump
BEYOND = 1.5  # if it is this many times as far above it as the hardest batch of late, too
LATE = 1000  # steps over which the hardest batch is forgotten


@dataclass
class Course:
    """Counters of a training; `batch` is the next one of the epoch's plan."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    batches_in_epoch: int = 1
    seconds: float = 0.0
    usual_nll: float | None = None  # a running mean, to measure a jump by,
    usual_excess: float = 0.0  # and how far above it the hardest of late was
    best: float | None = None
    best_step: int = 0
    waited: int = 0  # validations since the best one
    validated: bool = False  # whether the weights of this very step were validated
    loss: float = 0.0  # sums since the last line of the journal
    nll: float = 0.0
    tokens: int = 0
    all_tokens: int = 0  # target tokens since the beginning

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def take(self, values: dict[str, Any]) -> None:
        """Take over a saved course; what else stands among the values is left alone."""
        for field in fields(self):
            setattr(self, field.name, values.get(field.name, field.default))  # an older run

    def add(self, loss: float, nll: float, tokens: int) -> None:
        """Add a step's sums."""
        self.loss, self.nll, self.tokens = self.loss + loss, self.nll + nll, self.tokens + tokens
        self.all_tokens += tokens

    def jumped(self, nll: float) -> float | None:
        """How many times the usual nll this step's is, where that is a jump; else None.

        A jump is far above the mean and above the hardest batch of late: corpora that are hard to
        different degrees give batches of twice the mean every few steps.
        """
        usual = nll if self.usual_nll is None else self.usual_nll
        limit = max(JUMP * usual, usual + BEYOND * self.usual_excess)
        self.usual_nll = usual + (nll - usual) / max(1, min(self.step, USUAL_OVER))
        if self.step <= USUAL_OVER:
            return None
        self.usual_excess = max(nll - usual, (1 - 1 / LATE) * self.usual_excess)
        return nll / usual if nll > limit > 0 else None

    def line(self, lr: float, speed: float) -> dict[str, Any]:
        """The journal's line about the steps since the one before; sums begin anew."""
        line = {
            "kind": "train",
            "step": self.step,
            "epoch": round(self.epochs, 6),
            "loss": self.loss / self.tokens,
            "nll": self.nll / self.tokens,
            "lr": lr,
            "tokens": self.tokens,
            "tokens_per_second": round(speed, 1),
            "seconds": round(self.seconds, 3),
        }
        self.loss, self.nll, self.tokens = 0.0, 0.0, 0
        return line

    @property
    def epochs(self) -> float:
        """Epochs so far, with the fraction of the current one."""
        return self.epoch + self.batch / self.batches_in_epoch

    def progress(self, training: TrainingConfig) -> float:
        """How far the run is, in [0, 1], by whichever limit is nearest."""
        shares = [0.0]
        if training.max_steps is not None:
            shares.append(self.step / training.max_steps)
        if training.max_minutes is not None:
            shares.append(self.seconds / 60 / training.max_minutes)
        if training.max_tokens is not None:
            shares.append(self.all_tokens / training.max_tokens)
        if training.max_epochs is not None:
            shares.append(self.epochs / training.max_epochs)
        return min(1.0, max(shares))

    def end(self, training: TrainingConfig) -> str | None:
        """Why training is over, or None while it is not."""
        if training.max_steps is not None and self.step >= training.max_steps:
            return "max_steps"
        if training.max_minutes is not None and self.seconds >= training.max_minutes * 60:
            return "max_minutes"
        if training.max_tokens is not None and self.all_tokens >= training.max_tokens:
            return "max_tokens"
        if training.max_epochs is not None and self.epochs >= training.max_epochs:
            return "max_epochs"
        stopping = training.early_stopping
        if stopping.metric != "none" and self.waited >= stopping.patience:
            return "early_stopping"
        return None

    def judge(self, metric: str, value: float) -> bool:
        """Note a validation's value; True if it is the best so far (lower nll, higher others)."""
        sooner = self.best is None or (value < self.best if metric == "nll" else value > self.best)
        better = sooner and not math.isnan(value)
        if better:
            self.best, self.best_step, self.waited = value, self.step, 0
        else:
            self.waited += 1
        return better
