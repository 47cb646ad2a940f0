"""Translation: sentence pairs in, a trained translator out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from polyhead import memory
from polyhead.config import AtLeastOne, DataSection, Family, Recipe
from polyhead.data import tokenizers
from polyhead.data.batching import Plan, by_length, device_of, on_device, plan_epoch
from polyhead.data.corpus import Corpus
from polyhead.data.examples import PairBatch, PairExamples, Ragged
from polyhead.data.pairs import Pairs, PairSource, read_pairs
from polyhead.data.tokenizers import END_ID, Tokenizer
from polyhead.decoding.ensemble import mean_probability, members_of
from polyhead.decoding.translate import Options, translate_ids
from polyhead.errors import DataError
from polyhead.layers.embeddings import OutputHead
from polyhead.layers.loss import sequence_loss, token_log_probabilities
from polyhead.metrics.text import corpus_scores
from polyhead.tasks.shared.protocol import Judgement, Say
from polyhead.tasks.shared.splits import sources_of
from polyhead.tasks.shared.unknown import tell_unknown

Tick = Callable[[int], object]
CHUNK = 8192  # pairs encoded at a time: token ids as Python lists take ten times their size
VALIDATION_SENTENCES = 2000  # decoded at each validation; the loss takes all


def _no_tick(_: int) -> None: ...


def _ended(tokenizer: Tokenizer, texts: Sequence[str]) -> Ragged:
    return Ragged([[*row, END_ID] for row in tokenizer.encode_all(texts)])


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else [] if value is None else value


Sources = Annotated[list[PairSource], BeforeValidator(_as_list)]
"""Pairs of one or several places; a single mapping is a list of one, and nothing is none."""


class Data(DataSection):
    """The `data:` section of a translation recipe."""

    families: ClassVar[tuple[Family, ...]] = ("encoder-decoder",)
    metrics: ClassVar[tuple[str, ...]] = ("bleu", "chrf")
    source_language: str = Field(description="code, for example ko")
    target_language: str
    train: Annotated[Sources, AtLeastOne]
    valid: Annotated[Sources, AtLeastOne]
    test: Sources = Field(default=[])
    max_length: int = Field(256, ge=1, description="tokens; longer pairs are left out of training")


@dataclass
class Translation:
    """The task: its tokenizers, and what it makes of batches."""

    recipe: Recipe
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    unit: str = "pairs"

    @property
    def data(self) -> Data:
        assert isinstance(self.recipe.data, Data)
        return self.recipe.data

    # --- making and keeping it

    @classmethod
    def read_training(cls, recipe: Recipe, say: Say) -> list[Pairs]:
        """The training pairs as they stand in the files."""
        assert isinstance(recipe.data, Data)
        pairs = [read_pairs(spec) for spec in recipe.data.train]
        say(f"read {sum(len(p) for p in pairs):,} training pairs")
        return pairs

    @classmethod
    def train_tokenizers(cls, recipe: Recipe, pairs: Sequence[Pairs]) -> Translation:
        """The task with tokenizers trained on the training pairs."""
        sources = [s for p in pairs for s in p.sources]
        targets = [t for p in pairs for t in p.targets]
        if recipe.tokenizer.shared:
            shared = tokenizers.train(recipe.tokenizer, [*sources, *targets])
            return cls(recipe, shared, shared)
        source = tokenizers.train(recipe.tokenizer, sources)
        return cls(recipe, source, tokenizers.train(recipe.tokenizer, targets))

    @classmethod
    def load(cls, recipe: Recipe, folder: Path) -> Translation:
        """The task with the tokenizers of a run folder.

        A run taken in may have one vocabulary, and a tokenizer for each language all the same.
        """
        if recipe.tokenizer.shared and not (folder / "source_tokenizer.json").is_file():
            shared = Tokenizer.load(folder / "tokenizer.json")
            return cls(recipe, shared, shared)
        source = Tokenizer.load(folder / "source_tokenizer.json")
        return cls(recipe, source, Tokenizer.load(folder / "target_tokenizer.json"))

    def save(self, folder: Path) -> None:
        """Write the tokenizers into a run folder."""
        if self.recipe.tokenizer.shared and self.source_tokenizer is self.target_tokenizer:
            self.source_tokenizer.save(folder / "tokenizer.json")
        else:
            self.source_tokenizer.save(folder / "source_tokenizer.json")
            self.target_tokenizer.save(folder / "target_tokenizer.json")

    def sizes(self) -> dict[str, Any]:
        """What a model must know to be built."""
        return {
            "source_vocab": self.source_tokenizer.size,
            "target_vocab": self.target_tokenizer.size,
            "shared": self.recipe.tokenizer.shared,
        }

    def vocabulary(self, parameter: str) -> tuple[str, Tokenizer]:
        """What a parameter with a row for every token has rows of: a name, and the tokenizer."""
        if self.recipe.tokenizer.shared:
            return "shared", self.target_tokenizer
        source = parameter.startswith("source")
        return ("source", self.source_tokenizer) if source else ("target", self.target_tokenizer)

    # --- data

    def encode(self, pairs: Sequence[Pairs], tick: Tick = _no_tick) -> Corpus:
        """Every pair as ids, each side ending with `</s>`; `tick` hears how many are done."""
        sources: list[Ragged] = []
        targets: list[Ragged] = []
        for p in pairs:
            for start in range(0, len(p), CHUNK):
                rows = slice(start, start + CHUNK)
                sources.append(_ended(self.source_tokenizer, p.sources[rows]))
                targets.append(_ended(self.target_tokenizer, p.targets[rows]))
                tick(len(sources[-1]))
        examples = PairExamples(
            Ragged.joined(sources),
            Ragged.joined(targets),
            self.source_tokenizer.pad_id,
            self.target_tokenizer.pad_id,
        )
        counts = [len(p) for p in pairs]
        which = np.repeat(np.arange(len(pairs)), counts)
        rows_of = [np.arange(count) for count in counts]
        origins = np.stack([which, np.concatenate([np.arange(0), *rows_of])], axis=1)
        weights = np.array([p.weight for p in pairs], np.float64)[which]
        return Corpus(examples, list(pairs), origins, weights)

    def left_out(self, corpus: Corpus) -> dict[str, NDArray[np.int64]]:
        """Indices of the pairs that cannot teach, by reason; no index stands twice."""
        s, t = corpus.examples.sources.lengths - 1, corpus.examples.targets.lengths - 1
        limit = self.longest
        empty = (s == 0) | (t == 0)
        long = (s > limit) | (t > limit)
        return {"empty": np.flatnonzero(empty), "too_long": np.flatnonzero(long & ~empty)}

    @property
    def longest(self) -> int:
        """Tokens of the longest sentence that is trained on; its end is not counted."""
        return min(self.data.max_length, self.positions - 1)

    def training_corpus(self, pairs: Sequence[Pairs], say: Say) -> Corpus:
        """Encoded training pairs without those that cannot teach, which are counted and named."""
        asked, size = self.recipe.tokenizer.vocab_size, self.target_tokenizer.size
        if size < asked:
            say(f"the vocabulary has {size:,} tokens, not {asked:,}: the text gives no more")
        corpus = self.encode(pairs)
        out = self.left_out(corpus)
        reasons = {"empty": "empty on one side", "too_long": f"longer than {self.longest} tokens"}
        for reason, indices in out.items():
            if len(indices):
                places = "; ".join(corpus.where(int(i)) for i in indices[:3])
                more = f" and {len(indices) - 3:,} more" if len(indices) > 3 else ""
                count = f"{len(indices):,} pairs {reasons[reason]}"
                say(f"left out of training: {count} ({places}{more})")
        keep = np.setdiff1d(np.arange(len(corpus)), np.concatenate(list(out.values())))
        if len(keep) == 0:
            raise DataError(f"no training pairs are left of {len(corpus):,}: see what was left out")
        return corpus.take(keep) if len(keep) < len(corpus) else corpus

    def encode_cut(self, pairs: Sequence[Pairs], say: Say) -> Corpus:
        """Every pair as ids; what is longer than the model takes is cut, and `say` hears it."""
        corpus = self.encode(pairs)
        limit = self.positions
        for side in ("source", "target"):
            rows: Ragged = getattr(corpus.examples, f"{side}s")
            for i in np.flatnonzero(rows.lengths > limit).tolist():
                say(
                    f"{corpus.where(i)}: {rows.lengths[i] - 1} {side} tokens, cut to the model's "
                    f"{limit - 1}"
                )
            setattr(corpus.examples, f"{side}s", rows.cut(limit, END_ID))
        return corpus

    @property
    def positions(self) -> int:
        """Tokens of the longest sentence the model takes."""
        return int(getattr(self.recipe.model, "max_length", 2**31))

    def read(self, split: str, say: Say) -> Corpus:
        """The encoded valid or test split; raises DataError where the recipe names none."""
        pairs = [read_pairs(spec) for spec in sources_of(self.data, split)]
        return self.judged_corpus(pairs, say)

    def judged_corpus(self, pairs: list[Pairs], say: Say) -> Corpus:
        """Encoded pairs to evaluate on; raises DataError where a place has none."""
        for part in pairs:
            if len(part) == 0:
                raise DataError(f"{part.name}: there is no pair to evaluate on")
        corpus = self.encode_cut(pairs, say)
        names = ", ".join(part.name for part in pairs)
        unknown = self.target_tokenizer.unknown_id
        tell_unknown(names, corpus.examples.targets.values, unknown, say)
        return corpus

    def plan(self, corpus: Corpus, epoch: int) -> Plan:
        """The batches of an epoch; raises UsageError while their size is not chosen."""
        return plan_epoch(
            corpus.examples.sources.lengths,
            corpus.examples.targets.lengths,
            batch_tokens=self.recipe.training.tokens_together,
            seed=self.recipe.seed,
            epoch=epoch,
            weights=corpus.weights,
        )

    # --- training

    def loss(self, model: nn.Module, batch: PairBatch, smoothing: float) -> tuple[Tensor, Tensor]:
        """(sum of the smoothed loss, sum of the plain NLL) over the batch's real target tokens."""
        head = cast(OutputHead, model.head)
        return sequence_loss(
            model(batch.source, batch.source_positions, batch.inputs, batch.positions),
            head.weight,
            batch.labels,
            batch.positions >= 0,
            bias=head.bias,
            smoothing=smoothing,
        )

    # --- judging

    @torch.inference_mode()
    def log_probabilities(self, model: nn.Module, corpus: Corpus) -> NDArray[np.float64]:
        """Forced decoding: log p(target | source) of every pair, in order; one batch in memory.

        An ensemble gives every token the mean of its members' probabilities.
        """
        result = np.zeros(len(corpus))
        for indices in self._judged_together(corpus):

            def judge(rows: int, indices: NDArray[np.int64] = indices) -> NDArray[np.float64]:
                return _forced(model, on_device(corpus.batch(indices[:rows]), device_of(model)))

            with memory.told(partial(_too_large, corpus, indices, judge)):
                result[indices] = judge(len(indices))
        return result

    def judge(self, model: nn.Module, corpus: Corpus) -> Judgement:
        """Nats per target token, the end included and padding left out."""
        total = -self.log_probabilities(model, corpus).sum()
        return Judgement(float(total / corpus.examples.targets.lengths.sum()))

    def translate(
        self, model: nn.Module, corpus: Corpus, options: Options, limit: int | None = None
    ) -> list[str]:
        """The model's best translation of every source."""
        sources = [
            corpus.examples.sources[i] for i in range(min(limit or len(corpus), len(corpus)))
        ]
        found = translate_ids(model, sources, self.target_tokenizer, options)
        return self.target_tokenizer.decode_all([best[0].tokens if best else [] for best in found])

    def validate(self, model: nn.Module, corpus: Corpus, judged: Judgement) -> dict[str, float]:
        """BLEU and chrF of greedy translations of (the first 2,000 of) a corpus."""
        options = self._greedy()
        hypotheses = self.translate(model, corpus, options, VALIDATION_SENTENCES)
        references = corpus.texts()[1][: len(hypotheses)]
        scores = self.scores(hypotheses, references)
        return {name: entry["score"] for name, entry in scores.items()}

    def _greedy(self) -> Options:
        decoding = self.recipe.decoding
        return Options(
            beam=1,
            alpha=0.0,
            max_length=decoding.max_length,
            batch_tokens=decoding.batch_tokens,
        )

    def hardest(self, corpus: Corpus) -> tuple[Corpus, float]:
        """The pairs of `judge`'s first batch, the longest, and how many such batches there are.

        A model that has not learned to end writes as much for every one as is allowed.
        """
        part = corpus.take(self._judged_together(corpus)[0])
        return part, len(corpus) / len(part)

    def _judged_together(self, corpus: Corpus) -> Plan:
        lengths = np.maximum(corpus.examples.sources.lengths, corpus.examples.targets.lengths)
        return by_length(lengths, 2 * self.recipe.decoding.batch_tokens)

    def scores(
        self, hypotheses: list[str], references: list[str], **options: Any
    ) -> dict[str, dict[str, Any]]:
        """Corpus scores; without case where the tokenizer knows none."""
        options = {"lowercase": self.recipe.tokenizer.lowercase} | options
        return corpus_scores(hypotheses, references, self.data.target_language, **options)

    def sample(self, model: nn.Module, corpus: Corpus, index: int) -> str:
        """One source, its reference and the model's translation, to look at."""
        one = Ragged([corpus.examples.sources[index % len(corpus)].tolist()])
        found = translate_ids(model, [one[0]], self.target_tokenizer, self._greedy())
        sources, targets = corpus.texts()
        text = self.target_tokenizer.decode(found[0][0].tokens if found[0] else [])
        place = index % len(corpus)
        return f"{sources[place]}\n  reference: {targets[place]}\n  model:     {text}"

    def describe(self, corpus: Corpus) -> dict[str, Any]:
        """Numbers about a corpus, for the model card."""
        files = Counter(p.name for p in corpus.pairs)
        return {
            "pairs": len(corpus),
            "target_tokens": int(corpus.examples.targets.lengths.sum()),
            "files": list(files),
            "fingerprint": corpus.fingerprint,
        }


def _forced(model: nn.Module, batch: PairBatch) -> NDArray[np.float64]:
    """log p(target | source) of each pair of a batch."""
    real = batch.positions >= 0
    found = []
    for one in members_of(model):
        hidden = one(batch.source, batch.source_positions, batch.inputs, batch.positions)
        head = cast(OutputHead, one.head)
        found.append(token_log_probabilities(hidden[real], head, batch.labels[real]))
    values = torch.zeros(real.shape, device=real.device)
    values[real] = mean_probability(found)
    return values.sum(dim=1).double().cpu().numpy()


def _too_large(corpus: Corpus, indices: NDArray[np.int64], judge: Callable[[int], object]) -> str:
    """What to say of a batch that could not be judged, with a size that was tried and can."""
    said = f"judging {corpus.batch(indices).describe()} together does not fit"
    fits = memory.largest_that_fits(judge, len(indices))
    if fits is None:
        return f"{said}, nor does a single one: shorten the longest"
    sides = (corpus.examples.sources, corpus.examples.targets)
    longest = max(int(side.lengths[indices].max()) for side in sides)
    tokens = max(1, int(memory.MARGIN * fits * longest / 2))  # twice as many are judged together
    return f"{said}. --batch-tokens {tokens} (decoding.batch_tokens={tokens} in a recipe) should"


Task = Translation
