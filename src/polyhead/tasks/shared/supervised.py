"""Learning from labelled texts with GPT or BERT: everything but what a label is.

A task's module has `Data`, the schema of its `data:`, and `OBJECTIVE`, which knows what is asked;
`Task` is this class. Fine-tuning GPT: Radford et al. 2018, section 3.2 and 3.3; BERT: Devlin et al.
2019, section 4.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from polyhead import registry
from polyhead.config import AtLeastOne, DataSection, Family, Recipe
from polyhead.data import tokenizers
from polyhead.data.batching import Plan, by_length, device_of, on_device
from polyhead.data.framing import DELIMITER, EXTRACT, Examples, Framer, LabelledBatch
from polyhead.data.labelled import Labelled, LabelledTables
from polyhead.data.tokenizers import BEGINS, MASKS, Tokenizer
from polyhead.errors import DataError, RunError
from polyhead.files import write_json
from polyhead.metrics.labels import Tally
from polyhead.tasks.shared.objective import Answers, Frame, Objective
from polyhead.tasks.shared.protocol import Judgement, Say
from polyhead.tasks.shared.splits import sources_of

JUDGED_TOGETHER = 8192  # tokens
LABELS = "labels.json"
LM_WEIGHT = 0.5  # lambda of Radford et al. 2018, section 4.1


class SupervisedData(DataSection):
    """What `data:` says in every task about labelled texts."""

    families: ClassVar[tuple[Family, ...]] = ("decoder", "encoder")
    training_defaults: ClassVar[dict[str, Any]] = {"label_smoothing": 0.0}
    shortest: ClassVar[int] = 4  # tokens that a row must have room for
    smoothed: ClassVar[bool] = True  # whether there are labels that label_smoothing could smooth

    max_length: int | None = Field(
        None, ge=4, description="tokens of a row, longer texts lose their end; none: the model's"
    )
    lm_weight: float | None = Field(
        None, ge=0, description="of GPT: weight of its language model's loss beside; none: 0.5"
    )

    def misfits(self, model: Any, label_smoothing: float) -> list[str]:
        """A loss that the model or the task has not; rows that do not fit the model or the task."""
        problems = []
        if model.kind == "bert" and self.lm_weight is not None:
            problems.append("data.lm_weight: BERT has no language model's loss; leave it out")
        if label_smoothing and not self.smoothed:
            problems.append("training.label_smoothing: no labels to smooth here; leave it out")
        if self.max_length is not None and self.max_length > model.max_length:
            problems.append(
                f"data.max_length: {self.max_length}, but the model reads {model.max_length} "
                "tokens at most (model.max_length)"
            )
        longest = min(model.max_length, self.max_length or model.max_length)
        if longest < self.shortest:
            key = "data" if self.max_length == longest else "model"
            problems.append(
                f"{key}.max_length: rows of at least {self.shortest} tokens are needed, those "
                f"around the texts included (found {longest})"
            )
        return problems


class TableData(SupervisedData):
    """What `data:` says where each text, or pair, is a row of a table."""

    train: Annotated[LabelledTables, AtLeastOne] = Field(description="tables (see below)")
    valid: Annotated[LabelledTables, AtLeastOne] = Field(
        description="tables to judge the model on as it learns"
    )
    test: LabelledTables = Field(default=[], description="tables to score it on afterwards")
    symmetric: bool = Field(False, description="of pairs: both orders are read, and added")

    def misfits(self, model: Any, label_smoothing: float) -> list[str]:
        """Both orders of what is no pair, too."""
        return super().misfits(model, label_smoothing) + [
            f"data.symmetric: pairs are needed; {source.label} in data.{split} has no pair_column"
            for split in ("train", "valid", "test")
            for source in getattr(self, split)
            if self.symmetric and source.pair_column is None
        ]


@dataclass
class Supervised:
    """The task: a tokenizer with the special tokens of a row, and what is known of the labels."""

    recipe: Recipe
    tokenizer: Tokenizer
    learned: dict[str, Any] | None = None
    unit: str = "examples"

    @property
    def objective(self) -> Objective:
        """What is asked."""
        objective: Objective = registry.find("tasks", self.recipe.task).OBJECTIVE
        return objective

    @property
    def data(self) -> Any:
        return self.recipe.data

    @property
    def source_tokenizer(self) -> Tokenizer:
        """What reads a text from the user."""
        return self.tokenizer

    @property
    def is_gpt(self) -> bool:
        """Whether the model is GPT, which also goes on learning language; else it is BERT."""
        return bool(self.recipe.model.kind == "gpt")  # type: ignore[attr-defined]

    @property
    def known(self) -> dict[str, Any]:
        """What was learned of the labels; raises RunError where that was not kept."""
        if self.learned is None:
            raise RunError(f"the run folder has no {LABELS}, so it is damaged; put a copy back")
        return self.learned

    def answers_as(self, other: object) -> bool:
        """Whether a model's answers mean the same to another task: question, labels, units."""
        return (
            isinstance(other, Supervised)
            and other.recipe.task == self.recipe.task
            and other.known == self.known
        )

    # --- making and keeping it

    @classmethod
    def read_training(cls, recipe: Recipe, say: Say) -> list[Labelled]:
        """The labelled training texts; raises RecipeError for a model that does not fit."""
        objective = registry.find("tasks", recipe.task).OBJECTIVE
        found = [one for source in recipe.data.train for one in objective.read(source)]  # type: ignore[attr-defined]
        say(f"read {len(found):,} training examples")
        return found

    @classmethod
    def train_tokenizers(cls, recipe: Recipe, read: Sequence[Labelled]) -> Supervised:
        """The task with a tokenizer trained on the texts."""
        special = _special(recipe)
        texts = (text for one in read for text in one.texts)
        return cls(
            recipe, tokenizers.train(recipe.tokenizer, texts, verbatim=True, special=special)
        )

    @classmethod
    def load(cls, recipe: Recipe, folder: Path) -> Supervised:
        """The task with the tokenizer of a run folder, and with its labels if it has any.

        A GPT that was trained on text alone gets its two new tokens here.
        """
        tokenizer = Tokenizer.load(folder / "tokenizer.json")
        names = _special(recipe)
        if DELIMITER in names and tokenizer.inner.token_to_id(EXTRACT) is None:
            tokenizer.inner.add_special_tokens(list(names))
            tokenizer = Tokenizer(tokenizer.inner)
        path = folder / LABELS
        learned = None
        if path.is_file():
            try:
                learned = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise RunError(f"{path} is damaged: {error}") from None
        return cls(recipe, tokenizer, learned)

    def save(self, folder: Path) -> None:
        """Write the tokenizer and the labels into a run folder."""
        self.tokenizer.save(folder / "tokenizer.json")
        if self.learned is not None:
            write_json(folder / LABELS, self.learned)

    def sizes(self) -> dict[str, Any]:
        """What a model must know to be built."""
        return {
            "vocab_size": self.tokenizer.size,
            "purpose": self.objective.purpose,
            "outputs": self.objective.outputs(self.known),
        }

    def vocabulary(self, weight: str) -> tuple[str, Tokenizer]:
        """(name, tokenizer) of the only vocabulary."""
        return "token", self.tokenizer

    # --- data

    @property
    def frame(self) -> Frame:
        """What turns texts into examples."""
        tokenizer, longest = self.tokenizer, _longest(self.recipe)
        if self.is_gpt:
            between, end = map(tokenizer.inner.token_to_id, (DELIMITER, EXTRACT))
            if between is None or end is None:
                raise RunError(f"the tokenizer has no {DELIMITER} or no {EXTRACT}: it is damaged")
            framer = Framer(tokenizer.end_id, between, end, longest)
        else:
            framer = Framer(tokenizer.begin_id, tokenizer.end_id, tokenizer.end_id, longest)
        return Frame(tokenizer, framer, self.known, self.data)

    def encode(self, read: Sequence[Labelled], *, learning: bool = False) -> Examples:
        """Texts as examples, to learn from or to be judged."""
        frame, found, cut, left_out = replace(self.frame, learning=learning), [], 0, 0
        for one in read:
            examples, shortened = self.objective.examples(one, frame)
            found += examples
            cut += shortened
            left_out += not examples
        return Examples(found, self.tokenizer.pad_id, self.recipe.seed, cut, left_out)

    def training_corpus(self, read: Sequence[Labelled], say: Say) -> Examples:
        """The examples to train on; raises DataError where no answer can be learned."""
        if self.learned is None:
            self.learned = self.objective.learn([one.target for one in read])
        corpus = self.encode(read, learning=True)
        _tell_cut(corpus, "train", say)
        if corpus.left_out:
            of = f"{corpus.left_out:,} of {len(read):,} training examples"
            why = f"longer than a row of {_longest(self.recipe):,} tokens has room for"
            if not len(corpus):
                raise DataError(f"the answers of {of} are {why}: raise max_length")
            say(f"train: {of} are left out: their answers are {why}")
        return corpus

    def read(self, split: str, say: Say) -> Examples:
        """The valid or test split; raises DataError where the recipe names none."""
        corpus = self.encode(self.read_split(split))
        _tell_cut(corpus, split, say)
        return corpus

    def read_split(self, split: str) -> list[Labelled]:
        """The labelled texts of the valid or test split."""
        return [
            one for source in sources_of(self.data, split) for one in self.objective.read(source)
        ]

    def plan(self, corpus: Examples, epoch: int) -> Plan:
        """The batches of an epoch."""
        return corpus.plan(batch_tokens=self.recipe.training.tokens_together, epoch=epoch)

    # --- training and judging

    def loss(
        self, model: nn.Module, batch: LabelledBatch, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """(sum of the loss, sum of the plain NLL) over the answers that are asked for.

        GPT's loss is L_task + lambda L_language (Radford et al. 2018, equation 5), each a mean: of
        answers, and of rows' means over their tokens. It counts once for each answer, because the
        sum is divided by these.
        """
        hidden, answers = self.ask(model, batch.inputs, batch.positions, batch.texts)
        loss, nll = self.objective.loss(answers.float(), batch, self.known, smoothing)
        weight = LM_WEIGHT if self.data.lm_weight is None else self.data.lm_weight
        if self.is_gpt and weight:
            loss = loss + weight * batch.tokens * _language_loss(model, hidden, batch)
        return loss, nll.detach()

    def ask(
        self, model: nn.Module, inputs: Tensor, positions: Tensor, texts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(hidden states [R,T,E], the model's answers) for rows [R,T] of a batch."""
        hidden = model(inputs, positions, *(() if self.is_gpt else (texts,)))
        return hidden, model.answer(hidden, positions)  # type: ignore[operator]

    @torch.inference_mode()
    def answers(self, model: nn.Module, corpus: Examples) -> tuple[float, list[Answers]]:
        """(nats per answer where they are known, what the model gives for every example)."""
        total, asked = 0.0, 0
        found: dict[int, Answers] = {}
        rows = len(corpus.examples[0].rows)
        for indices in by_length(corpus.lengths * rows, JUDGED_TOGETHER):
            batch = on_device(corpus.batch(indices), device_of(model))
            _, answers = self.ask(model, batch.inputs, batch.positions, batch.texts)
            total += float(self.objective.loss(answers.float(), batch, self.known, 0.0)[1])
            asked += batch.tokens
            values = answers.float().cpu().numpy()
            for place, index in enumerate(indices.tolist()):
                own = values[place * rows : (place + 1) * rows]
                found[index] = own[0] if own.ndim == 3 else own
        return total / max(1, asked), [found[index] for index in range(len(corpus))]

    def judge(self, model: nn.Module, corpus: Examples) -> Judgement:
        """Nats per answer, and the answers."""
        return Judgement(*self.answers(model, corpus))

    def validate(self, model: nn.Module, corpus: Examples, judged: Judgement) -> dict[str, float]:
        """The task's metrics."""
        return self.metrics(judged.found, corpus)

    def metrics(self, answers: Sequence[Answers], corpus: Examples) -> dict[str, float]:
        """Scores of a model's answers."""
        return self.objective.metrics(self.tally(answers, corpus))

    def tally(self, answers: Sequence[Answers], corpus: Examples) -> Tally:
        """A model's answers beside the right ones, in numbers: a row for each text."""
        said = self.objective.say(answers, corpus.examples, self.known)
        return self.objective.tally(said, _right(corpus))

    def hardest(self, corpus: Examples) -> tuple[Examples, float]:
        """The texts with the longest examples, which are computed first, and how many times as
        many examples there are."""
        rows = len(corpus.examples[0].rows)
        part = corpus.first(len(by_length(corpus.lengths * rows, JUDGED_TOGETHER)[0]))
        return part, len(corpus) / len(part)

    def sample(self, model: nn.Module, corpus: Examples, index: int) -> str:
        """A text, what is right of it, and what the model says."""
        one = corpus.of_texts([index % corpus.texts])
        _, answers = self.answers(model, one)
        (said,) = self.objective.say(answers, one.examples, self.known)
        text = self.tokenizer.text(one.examples[0].rows[0][0])
        return f"  {text[:100]!r}\n  right: {_right(one)[0]}  model: {said['label']}"

    def describe(self, corpus: Examples) -> dict[str, Any]:
        """Numbers about a corpus, for the model card."""
        return {
            "examples": len(corpus),
            "tokens": corpus.size,
            "fingerprint": corpus.fingerprint,
        }


def _right(corpus: Examples) -> list[Any]:
    """The right answers, one for each text."""
    return [one.right for one in corpus.examples if one.first]


def _longest(recipe: Recipe) -> int:
    """Tokens that a row has at most."""
    longest: int = recipe.model.max_length  # type: ignore[attr-defined]
    return min(longest, recipe.data.max_length or longest)  # type: ignore[attr-defined]


def _special(recipe: Recipe) -> tuple[str, str]:
    """The tokens that a row needs beside the end token."""
    gpt = recipe.model.kind == "gpt"  # type: ignore[attr-defined]
    return (DELIMITER, EXTRACT) if gpt else (BEGINS[0], MASKS[0])


def _tell_cut(corpus: Examples, split: str, say: Say) -> None:
    if corpus.cut:
        say(f"{split}: {corpus.cut:,} texts were longer than a row and lost their end")


def _language_loss(model: nn.Module, hidden: Tensor, batch: LabelledBatch) -> Tensor:
    """The mean NLL of each row's tokens after its first, and of these the mean over rows."""
    real = batch.positions[:, 1:] >= 0
    logits = model.head(hidden[:, :-1][real]).float()  # type: ignore[operator]
    nll = F.cross_entropy(logits, batch.inputs[:, 1:][real], reduction="none")
    counts = real.sum(dim=1)
    share = (1.0 / counts.clamp(min=1))[:, None].expand_as(real)[real]
    return (nll * share).sum() / len(counts)
