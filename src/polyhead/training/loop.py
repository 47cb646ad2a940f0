"""The training loop: batches to losses to weights, with validations and checkpoints between."""

from __future__ import annotations

import math
import signal
import time
from contextlib import closing
from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn

from polyhead import memory
from polyhead.config import TrainingConfig
from polyhead.data.batching import Plan, on_device
from polyhead.errors import TrainingError
from polyhead.machine import Choices
from polyhead.metrics.likelihood import perplexity
from polyhead.runs.checkpoints import Checkpoint, Checkpoints
from polyhead.runs.folder import Run, load_weights
from polyhead.tasks.shared.protocol import Batch, Corpus, Task
from polyhead.training import lora
from polyhead.training.compiling import check_compiler
from polyhead.training.course import Course
from polyhead.training.journal import Journal
from polyhead.training.optimiser import Optimiser
from polyhead.training.processes import Processes
from polyhead.training.progress import TrainingBar, say
from polyhead.training.schedule import factor
from polyhead.training.signals import StopWish, stop_wish
from polyhead.training.utilisation import Meter


class Objective(nn.Module):
    """A task's loss as one module: what spreads training over processes sees every weight's use."""

    def __init__(self, task: Task, model: nn.Module, smoothing: float):
        super().__init__()
        self.task, self.model, self.smoothing = task, model, smoothing

    def forward(self, batch: Any) -> tuple[Tensor, Tensor]:
        """(loss sum, nll sum) of a batch."""
        return self.task.loss(self.model, batch, self.smoothing)


def too_large(batch: Batch, training: TrainingConfig) -> str:
    """What to say of a batch that did not fit, although it was to."""
    half = max(1, training.tokens_together // 2)
    return (
        f"a batch of {batch.describe()} does not fit. training.batch_tokens={half} takes half as "
        f"much, and with training.accumulate={2 * training.accumulate} a step learns from as many "
        "tokens as now"
    )


class Trainer:
    """A model, its task and data, and the course of its training."""

    def __init__(
        self,
        *,
        run: Run,
        task: Task,
        model: nn.Module,
        train: Corpus,
        valid: Corpus,
        choices: Choices,
        processes: Processes,
    ):
        self.task, self.model, self.config = task, model, run.recipe.training
        self.train_corpus, self.valid_corpus = train, valid
        self.fingerprints = {"data": train.fingerprint, "valid_data": valid.fingerprint}
        self.choices, self.processes = choices, processes
        self.meter = Meter(model, choices.device)
        sharded = self.config.sharding != "none" and processes.size > 1
        self.judged = deepcopy(model) if sharded else model  # only whole models can be decoded with
        if self.config.compile:
            check_compiler(choices.device)
        self.own_objective = Objective(task, model, self.config.label_smoothing)
        self.objective = processes.wrap(self.own_objective, self.config.sharding)
        self.optimiser = Optimiser(model, self.config.optimizer, self.config.clip)
        self.checkpoints = Checkpoints(
            run.path, keep=self.config.keep, average_last=self.config.average_last
        )
        self.course = Course()
        self.follow(run)

    def follow(self, run: Run) -> None:
        """Take the run's recipe, before the first step: its batches and its end."""
        self.run, self.config, self.task.recipe = run, run.recipe.training, run.recipe
        self.plan = self.task.plan(self.train_corpus, 0)
        self.course.batches_in_epoch = len(self.plan)

    # --- the loop

    def go(self) -> str:
        """Train until an end is reached or a signal comes; returns why it stopped."""
        course, config = self.course, self.config
        if config.compile:  # not before: the memory that a step needs is measured without
            self.own_objective.model = cast(nn.Module, torch.compile(self.model))
        journal = Journal(
            self.run.path / "metrics.jsonl",
            tensorboard=config.tensorboard,
            step=course.step,
            written=self.processes.first,
        )
        start = time.perf_counter() - course.seconds
        watch = _Stopwatch()
        self.meter.start()
        self.model.train()
        with closing(journal), stop_wish() as wish, TrainingBar(self.run.recipe.name) as bar:
            while (reason := self._over(time.perf_counter() - start, wish)) is None:
                loss, nll, tokens, lr = self._step(self._next_batches())
                course.seconds = time.perf_counter() - start
                course.add(loss, nll, tokens)
                watch.tokens += tokens
                if course.step % config.log_every == 0:
                    speed = watch.speed()
                    journal.write(course.line(lr, speed))
                    bar.show(
                        course.step, course.progress(config), nll / tokens, speed, course.seconds
                    )
                if course.step % config.validate_every == 0:
                    self._validate(journal)
                    course.seconds = time.perf_counter() - start
                    self._save(validated=True)
                    watch = _Stopwatch()
                    self.meter.start()
            stopped = reason.startswith("SIG")
            if not stopped and not course.validated:
                self._validate(journal)
                course.seconds = time.perf_counter() - start
                self._save(validated=True)
            elif stopped and not self.processes.share(self.checkpoints.has(course.step)):
                self._save(validated=course.validated)
        return reason

    def _over(self, seconds: float, wish: StopWish) -> str | None:
        """Why training ends here, if it does: by one clock and any process's signal, for all."""
        self.course.seconds, number = self.processes.largest(seconds, wish.number)
        return self.course.end(self.config) or (
            signal.Signals(int(number)).name if number else None
        )

    def step(self) -> tuple[Plan, int, float]:
        """One step as `go` takes them, with nothing written: its batches, tokens and nll."""
        batches = self._next_batches()
        _, nll, tokens, _ = self._step(batches)
        return batches, tokens, nll / tokens

    def _next_batches(self) -> Plan:
        """The batches of the next step; moves the course, into the next epoch where one ends."""
        course = self.course
        if course.batch >= len(self.plan):
            course.epoch, course.batch = course.epoch + 1, 0
            self.plan = self.task.plan(self.train_corpus, course.epoch)
            course.batches_in_epoch = len(self.plan)
        chosen = self.plan[course.batch : course.batch + self.config.accumulate]
        course.batch += len(chosen)
        return chosen

    def _step(self, batches: Plan) -> tuple[float, float, int, float]:
        """One optimiser step: (loss sum, nll sum, target tokens, learning rate)."""
        course = self.course
        course.step += 1
        course.validated = False
        lr = self.config.optimizer.lr * factor(
            self.config.schedule, course.step, course.progress(self.config)
        )
        with memory.told(lambda: self._too_large(batches)):
            loss, nll, tokens = self.accumulate(batches)
            norm = self.optimiser.step(lr)
        self.processes.average(self._buffers().values())
        self.optimiser.zero()
        self._watch(batches, nll / tokens, norm)
        return loss, nll, tokens, lr

    def accumulate(self, batches: Plan) -> tuple[float, float, int]:
        """Gradients of the loss over all tokens; returns the loss sum, the nll sum, the tokens.

        Each process computes its rows of every batch; the sums and the gradients are those of all.
        """
        rows, weights = zip(*(self.processes.rows(indices) for indices in batches), strict=True)
        mine = [self.train_corpus.batch(indices) for indices in rows]
        counted = sum(batch.tokens for batch, w in zip(mine, weights, strict=True) if w)
        tokens = int(self.processes.sums(counted)[0])
        loss_sum = nll_sum = 0.0
        for batch, weight in zip(mine, weights, strict=True):
            with self.processes.reducing(self.objective, last=batch is mine[-1]):
                loss, nll = self.objective(on_device(batch, self.choices.device))
                torch.autograd.backward(self.optimiser.scaled(loss * weight / tokens))
            if weight:
                self.meter.add(batch)
                loss_sum, nll_sum = loss_sum + loss.item(), nll_sum + nll.item()
        loss_sum, nll_sum = self.processes.sums(loss_sum, nll_sum)
        return loss_sum, nll_sum, tokens

    def _watch(self, batches: Plan, nll: float, norm: float) -> None:
        """Raise where the loss is no number; say where it jumped; name the batch both times."""
        course = self.course
        if not math.isfinite(nll) or not (math.isfinite(norm) or self.optimiser.may_overflow):
            raise TrainingError(
                f"step {course.step}: the loss is {nll:.4g} and the gradient's norm {norm:.4g}. "
                f"The batch: {self._name(batches)}. Nothing of this step was applied, and "
                f"{self.run.path} holds what was saved before. Look at the batch; else lower "
                "training.optimizer.lr or lengthen its warm-up in a new run (resuming would come "
                "to the same step again)."
            )
        times = course.jumped(nll)
        if times is not None:
            say(
                f"step {course.step}: nll {nll:.3f} is {times:.1f} times the usual "
                f"{nll / times:.3f}. The batch: {self._name(batches)}"
            )

    def _too_large(self, batches: Plan) -> str:
        largest = self.train_corpus.batch(max(batches, key=self.train_corpus.slots))
        return (
            f"step {self.course.step}: {too_large(largest, self.config)}. {self.run.path} holds "
            "what was saved before: free memory and go on with `polyhead train --resume "
            f"{self.run.path}`, or begin a new run from its weights with `polyhead finetune`"
        )

    def _name(self, batches: Plan) -> str:
        indices = [int(i) for indices in batches for i in indices]
        shown = "; ".join(self.train_corpus.where(i) for i in indices[:3])
        return f"{len(indices)} {self.task.unit}, among them {shown}"

    # --- validation

    def _validate(self, journal: Journal) -> None:
        """Let the first process judge; the others wait, and go on from the same course."""
        used = self.meter.read()
        own = {name: w.clone() for name, w in self.optimiser.weights().items()}
        own = self.processes.whole(own)
        if self.processes.first:
            self._judge(own, journal, used)
        self.course.take(self.processes.share(self.course.as_dict()))
        self.course.validated = True

    def _judge(self, own: dict[str, Tensor], journal: Journal, used: dict[str, float]) -> None:
        """Judge the weights (or their average with the last checkpoints'); keep the best."""
        course, config, model = self.course, self.config, self.judged
        model.eval()
        load_weights(model, own)
        which, judged = "last", self.task.judge(model, self.valid_corpus)
        recent = self.checkpoints.recent_weights(course.step) if config.average_last > 1 else []
        weights = own
        if recent:
            averaged = average([own, *recent])
            load_weights(model, averaged)
            other = self.task.judge(model, self.valid_corpus)
            if other.nll <= judged.nll:
                which, judged, weights = "averaged", other, averaged
            else:
                load_weights(model, own)
        values = {"nll": judged.nll, "perplexity": perplexity(judged.nll)}
        values |= self.task.validate(model, self.valid_corpus, judged)
        index = course.step // config.validate_every
        sample = self.task.sample(model, self.valid_corpus, index)
        load_weights(model, own)
        model.train()
        journal.write({"kind": "valid", "step": course.step, **values, "weights": which, **used})
        metric = config.early_stopping.metric
        better = course.judge(metric if metric != "none" else "nll", values.get(metric, judged.nll))
        if better or metric == "none":
            label = which if which == "averaged" or metric == "none" else "best"
            self.run.save_weights(lora.merged(weights, config.lora), label, course.step)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        say(f"step {course.step:,}  {shown}  ({which}{', best so far' if better else ''})")
        if used:
            say(self.meter.describe(used))
        say(sample)

    # --- state

    def _save(self, *, validated: bool) -> None:
        """Write a checkpoint, and where the run is into run.json."""
        self.course.validated = validated
        state = self.state()
        if not self.processes.first:
            return
        if not (self.run.path / "model.safetensors").is_file():
            weights = lora.merged(state.tensors["model"], self.config.lora)
            self.run.save_weights(weights, "last", self.course.step)
        self.checkpoints.save(state)
        self.run.update(step=self.course.step, epoch=int(self.course.epochs))

    def state(self) -> Checkpoint:
        """Everything the training is, as tensors and plain values; whole on the first process."""
        processes = self.processes
        random = {
            _of_rank(kind, rank): state
            for kind, own in self._random().items()
            for rank, state in enumerate(processes.gather(own))
        }
        weights = processes.whole(self.optimiser.weights())
        tensors = {
            "model": {n: w.contiguous() for n, w in weights.items()},
            "optimiser": processes.whole(self.optimiser.state()),
            "random": random,
            "buffers": self._buffers(),
        }
        values: dict[str, Any] = self.course.as_dict() | {
            "choices": self.choices.as_dict(),
            "processes": processes.size,
            "scaler": self.optimiser.scaler.state_dict(),
            "recipe": self.run.recipe.model_dump(mode="json"),
            **self.fingerprints,  # of data that does not change: hashed once
        }
        return Checkpoint(self.course.step, tensors, values)

    def _buffers(self) -> dict[str, Tensor]:
        """What the model learns without gradients, for training only (a moving baseline)."""
        kept = self.model.state_dict().keys()
        return {name: b for name, b in self.model.named_buffers() if name in kept}

    def _random(self) -> dict[str, Tensor]:
        """This process's random generators, by device."""
        states = {"cpu": torch.get_rng_state()}
        if self.choices.device == "cuda":
            states["cuda"] = torch.cuda.get_rng_state()
        return states

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint's state, to the bit where as many processes made it."""
        processes, random = self.processes, checkpoint.tensors["random"]
        self.optimiser.load(checkpoint.tensors["model"], checkpoint.tensors.get("optimiser", {}))
        for name, buffer in self._buffers().items():
            buffer.copy_(checkpoint.tensors["buffers"][name])
        if scaler := checkpoint.values.get("scaler"):
            self.optimiser.scaler.load_state_dict(scaler)
        before = checkpoint.values.get("processes", 1)
        if before != processes.size:
            say(
                f"this run was trained by {before} processes and goes on with {processes.size}: "
                "sums are added in another order, so the losses will not be the same to the bit"
            )
        processes.diverge(self.run.recipe.seed, checkpoint.step)  # where nothing was saved for it
        if (state := random.get(_of_rank("cpu", processes.rank))) is not None:
            torch.set_rng_state(state)
        state = random.get(_of_rank("cuda", processes.rank))
        if self.choices.device == "cuda" and state is not None:
            torch.cuda.set_rng_state(state)
        self.course.take(checkpoint.values)
        self.plan = self.task.plan(self.train_corpus, self.course.epoch)


def _of_rank(kind: str, rank: int) -> str:
    """The name of a process's generator in a checkpoint: cpu, cpu.1, cpu.2, …"""
    return kind if rank == 0 else f"{kind}.{rank}"


def average(weights: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several models' weights (Vaswani et al. 2017, 6.1), where the first are."""
    return {
        name: torch.stack([w[name].to(own.device) for w in weights]).mean(dim=0)
        for name, own in weights[0].items()
    }


class _Stopwatch:
    """Tokens per second of training alone."""

    def __init__(self) -> None:
        self.start, self.tokens = time.perf_counter(), 0

    def speed(self) -> float:
        """Since the last time it was asked, or made."""
        speed = self.tokens / (time.perf_counter() - self.start)
        self.__init__()  # type: ignore[misc]
        return speed
