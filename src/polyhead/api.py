# ruff: noqa: E402
"""The Python interface: what the command line does, as functions and one class."""

from __future__ import annotations

from polyhead import machine

machine.prepare()  # before torch is loaded

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from torch import nn

from polyhead import config, registry
from polyhead.data.pairs import Pairs, PairSource
from polyhead.data.tokenizers import END_ID, Explanation
from polyhead.decoding.sampling import Sampler
from polyhead.decoding.search import Hypothesis
from polyhead.decoding.translate import Options, translate_ids
from polyhead.errors import UsageError
from polyhead.evaluation.report import evaluate
from polyhead.inspection.maps import AttentionMaps
from polyhead.inspection.translation import translation_attention
from polyhead.runs.card import write_card
from polyhead.runs.folder import Run
from polyhead.tasks.translation import Task

__all__ = ["AttentionMaps", "Translator", "load", "train"]

Precision = Literal["fp32", "bf16", "int8"]
WINDOW = 4096  # lines translated together: sorted by length, then put back


def train(
    recipe: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Run:
    """Train a recipe (a path, a shipped name or a mapping) into a run folder.

    `out` defaults to runs/NAME; `overrides` are `key=value` texts with dotted keys. Raises
    RecipeError for a faulty recipe, UsageError where `out` exists, DataError for faulty data.
    """
    from polyhead.training.start import train as begin

    checked = config.load_recipe(recipe, list(overrides))
    return begin(checked, Path(out) if out is not None else Path("runs") / checked.name)


def load(run: str | Path, precision: Precision = "fp32") -> Translator:
    """A trained run, ready to use; raises RunError with what is wrong with the folder."""
    opened = Run.open(run)
    kind = registry.find("tasks", opened.recipe.task)
    task = kind.Task.load(opened.recipe, opened.path)
    machine.apply(machine.choose("fp32"))
    model = opened.load_model(task.sizes())
    return Translator(opened, task, _in_precision(model, precision))


def _in_precision(model: nn.Module, precision: Precision) -> nn.Module:
    if precision == "fp32":
        return model
    from polyhead.layers.packed import pack

    return pack(model, precision)


class Translator:
    """A trained translation run: translate, score, evaluate, explain, look at attention."""

    def __init__(self, run: Run, task: Task, model: nn.Module):
        self.run, self.task, self.model = run, task, model

    def options(self, **changes: Any) -> Options:
        """The run's own decoding options with changes; `prefix` is text, `sampler` a Sampler."""
        decoding = self.run.recipe.decoding
        prefix = changes.pop("prefix", None)
        values: dict[str, Any] = {
            "beam": decoding.beam,
            "alpha": decoding.alpha,
            "max_length": decoding.max_length,
        }
        values |= {key: value for key, value in changes.items() if value is not None}
        for key in ("beam", "max_length", "copies"):
            if values.get(key) is not None and values[key] < 1:
                raise UsageError(f"{key.replace('_', '-')} {values[key]} is not at least 1")
        if prefix:
            values["prefix"] = tuple(self.task.target_tokenizer.encode(prefix))
        return Options(**values)

    def translate(self, texts: Sequence[str], **options: Any) -> list[str]:
        """The best translation of each text; an empty text gives an empty one.

        Options: beam, alpha, max_length, prefix, no_repeat_ngram, sampler.
        """
        _check_texts(texts)
        return [self.text(best) for best in self.search(texts, self.options(**options))]

    def search(
        self,
        texts: Iterable[str],
        options: Options,
        *,
        say: Callable[[str], None] = lambda text: None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Iterator[list[Hypothesis]]:
        """The hypotheses of each text, best first, as a stream: any number of texts.

        A text of more tokens than the model takes is cut, and `say` hears which line.
        """
        limit = self.run.recipe.model.max_length  # type: ignore[attr-defined]
        texts = iter(texts)
        line = 0
        while window := list(islice(texts, WINDOW)):
            rows = self.task.source_tokenizer.encode_all(window)
            for number, row in enumerate(rows, start=line + 1):
                if len(row) + 1 > limit:
                    say(f"line {number}: {len(row)} tokens, cut to the model's {limit - 1}")
                    del row[limit - 1 :]
                row.append(END_ID)
            line += len(window)
            yield from translate_ids(
                self.model,
                rows,  # type: ignore[arg-type]
                self.task.target_tokenizer,
                options,
                progress,
            )

    def text(self, hypotheses: list[Hypothesis]) -> str:
        """The text of the best hypothesis; nothing for none."""
        return self.task.target_tokenizer.decode(hypotheses[0].tokens) if hypotheses else ""

    def sampler(self, **options: Any) -> Sampler:
        """A sampler: temperature, top_k, top_p, seed."""
        return Sampler(**{k: v for k, v in options.items() if v is not None})

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> list[float]:
        """log p(target | source) of each pair, in nats, the end token included."""
        return [score for score, _ in self.score_tokens(sources, targets)]

    def score_tokens(
        self, sources: Sequence[str], targets: Sequence[str]
    ) -> list[tuple[float, int]]:
        """(log-probability, target tokens with the end) of each pair, by forced decoding."""
        _check_texts(sources)
        _check_texts(targets)
        if len(sources) != len(targets):
            raise UsageError(
                f"{len(sources)} sources but {len(targets)} targets; one each is needed"
            )
        if not sources:
            return []
        corpus = self.task.encode([_as_pairs(sources, targets)])
        scores = self.task.log_probabilities(self.model, corpus)
        return list(zip(scores.tolist(), corpus.examples.targets.lengths.tolist(), strict=True))

    def evaluate(
        self,
        split: str = "test",
        source: str | Path | None = None,
        reference: str | Path | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """The evaluation report of a split of the recipe, or of two files; as `--json` prints."""
        if (source is None) != (reference is None):
            raise UsageError("source and reference files go together")
        if source is not None:
            spec = PairSource.model_validate(
                {"source": str(source), "target": str(reference)}, context={"folder": Path()}
            )
            from polyhead.data.pairs import read_pairs

            corpus, split = self.task.encode([read_pairs(spec)]), "files"
        else:
            corpus = self.task.read(split)
        report, _ = evaluate(
            self.task,
            self.model,
            corpus,
            self.options(**options),
            name=str(self.run.path),
            split=split,
        )
        if source is None and split == "test":
            write_card(self.run, self.run.info["data"], report)
        return report

    def explain(self, text: str) -> Explanation:
        """How the source tokenizer cuts a text."""
        return self.task.source_tokenizer.explain(text)

    def attention(self, text: str, target: str | None = None) -> AttentionMaps:
        """Every attention weight while `text` is translated (as `target`, if given)."""
        source_ids = self.task.source_tokenizer.encode(text)
        if not source_ids:
            raise UsageError("there is no text to look at")
        if target is None:
            best = next(self.search([text], self.options()))
            target_ids = best[0].tokens if best else []
        else:
            target_ids = self.task.target_tokenizer.encode(target)
        return translation_attention(
            self.model,
            self.task.source_tokenizer,
            self.task.target_tokenizer,
            source_ids,
            target_ids,
            title=self.run.recipe.name,
        )


def _as_pairs(sources: Sequence[str], targets: Sequence[str]) -> Pairs:
    count = len(sources)
    return Pairs(list(sources), list(targets), list(range(1, count + 1)), [""] * count, "input")


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise UsageError("a list of texts is needed, not one string: pass [text]")
