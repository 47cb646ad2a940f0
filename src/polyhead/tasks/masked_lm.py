"""Masked language modelling: predict what was masked from both sides (Devlin et al. 2019, 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from polyhead.config import Family, Recipe
from polyhead.data import tokenizers
from polyhead.data.batching import Plan, device_of, on_device
from polyhead.data.documents import Documents, read_documents, sentences_of
from polyhead.data.masking import MaskedBatch, MaskedBlocks, Masking
from polyhead.data.sentence_pairs import Sentence, SentencePairs
from polyhead.data.tokenizers import BEGINS, MASKS, Tokenizer
from polyhead.errors import DataError
from polyhead.metrics.labels import Tally
from polyhead.metrics.likelihood import perplexity
from polyhead.tasks.shared.protocol import Judgement, Say
from polyhead.tasks.shared.splits import sources_of
from polyhead.tasks.shared.texts import TextData, read_training
from polyhead.tasks.shared.unknown import tell_unknown

EVALUATED_TOGETHER = 32  # blocks
JUDGED_SEED = 1  # of masks and pairs to judge by: the same whatever the recipe's seed
Corpus = MaskedBlocks | SentencePairs


class Data(TextData):
    """The `data:` section of a masked language modelling recipe."""

    families: ClassVar[tuple[Family, ...]] = ("encoder",)
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)

    context: int = Field(
        128, ge=4, description="tokens of a block, the one before and the one after included"
    )
    mask_rate: float = Field(0.15, gt=0, lt=1, description="share of the tokens to be predicted")
    whole_words: bool = Field(False, description="choose words, and all tokens of each")
    next_sentence: bool = Field(
        False,
        description="rows are pairs of texts, and the model also tells whether the second follows "
        "the first; sentences are a document's lines, or cut where it has one line",
    )


@dataclass
class MaskedLanguageModeling:
    """The task: a tokenizer with a mask, and what it makes of blocks of text."""

    recipe: Recipe
    tokenizer: Tokenizer
    unit: str = "blocks"

    @property
    def data(self) -> Data:
        assert isinstance(self.recipe.data, Data)
        return self.recipe.data

    @property
    def source_tokenizer(self) -> Tokenizer:
        """What reads a text from the user."""
        return self.tokenizer

    # --- making and keeping it

    @classmethod
    def read_training(cls, recipe: Recipe, say: Say) -> Documents:
        """The training documents."""
        return read_training(recipe, say)

    @classmethod
    def train_tokenizers(cls, recipe: Recipe, read: Documents) -> MaskedLanguageModeling:
        """The task with a tokenizer trained on the documents."""
        lines = (line for text in read.texts for line in text.splitlines(keepends=True))
        special = (BEGINS[0], MASKS[0])
        made = tokenizers.train(recipe.tokenizer, lines, verbatim=True, special=special)
        return cls(recipe, made)

    @classmethod
    def load(cls, recipe: Recipe, folder: Path) -> MaskedLanguageModeling:
        """The task with the tokenizer of a run folder."""
        return cls(recipe, Tokenizer.load(folder / "tokenizer.json"))

    def save(self, folder: Path) -> None:
        """Write the tokenizer into a run folder."""
        self.tokenizer.save(folder / "tokenizer.json")

    def sizes(self) -> dict[str, Any]:
        """What a model must know to be built."""
        purpose = "pretraining" if self.data.next_sentence else "masked"
        return {"vocab_size": self.tokenizer.size, "purpose": purpose}

    def vocabulary(self, weight: str) -> tuple[str, Tokenizer]:
        """(name, tokenizer) of the only vocabulary."""
        return "token", self.tokenizer

    # --- data

    def encode(self, documents: Documents, *, seed: int, shifted: bool) -> Corpus:
        """Documents as blocks of tokens, an end token between two of them; or as pairs of texts."""
        tokenizer, context = self.tokenizer, self.data.context
        rows: list[Any]
        if self.data.next_sentence:
            rows = [self._sentences(text) for text in documents.texts]
        else:
            rows = [tokenizer.encode_long(text) for text in documents.texts]
        kept = [i for i, row in enumerate(rows) if len(row)]
        if not kept:
            raise DataError(f"{documents.places[0]}: the text has no tokens")
        documents, rows = documents.take(kept), [rows[i] for i in kept]
        if self.data.next_sentence:
            return SentencePairs.of(
                documents, rows, context=context,
                masking=self.masking(), seed=seed, pad=tokenizer.pad_id,
            )  # fmt: skip
        end = np.array([tokenizer.end_id], np.int32)
        ids = [part for row in rows for part in (row, end)]
        return MaskedBlocks(
            ids=np.concatenate(ids[:-1]),  # a block has an end of its own
            starts=np.cumsum([0, *(len(row) + 1 for row in rows[:-1])]),
            documents=documents,
            context=context,
            masking=self.masking(),
            seed=seed,
            shifted=shifted,
        )

    def _sentences(self, text: str) -> list[Sentence]:
        """A document's sentences; a space stands between two, as in a text on one line."""
        cut = sentences_of(text)
        openings = self.tokenizer.encode_all(cut)
        after = self.tokenizer.encode_all([f" {sentence}" for sentence in cut])
        return [forms for forms in zip(openings, after, strict=True) if forms[0]]

    def masking(self) -> Masking:
        """How tokens are masked."""
        tokenizer = self.tokenizer
        return Masking(
            begin=tokenizer.begin_id,
            end=tokenizer.end_id,
            mask=tokenizer.mask_id,
            ordinary=np.setdiff1d(np.arange(tokenizer.size), self._special()),
            begins_word=tokenizer.begins_word(),
            rate=self.data.mask_rate,
            whole_words=self.data.whole_words,
        )

    def _special(self) -> list[int]:
        """Tokens that no text has, its end among them."""
        return sorted({self.tokenizer.end_id, self.tokenizer.pad_id, *self.tokenizer.never})

    def training_corpus(self, read: Documents, say: Say) -> Corpus:
        """The rows to train on."""
        corpus = self.encode(read, seed=self.recipe.seed, shifted=True)
        if isinstance(corpus, MaskedBlocks):
            say(f"{len(corpus.ids):,} tokens in {len(corpus):,} blocks of {corpus.length + 2}")
            return corpus
        left_out = f" ({corpus.alone:,} documents of one left out)" if corpus.alone else ""
        say(f"{len(corpus.sentences):,} sentences in {len(corpus):,} spans{left_out}")
        return corpus

    def read(self, split: str, say: Say) -> Corpus:
        """The valid or test split; raises DataError where the recipe names none."""
        documents = read_documents(sources_of(self.data, split))
        corpus = self.encode(documents, seed=JUDGED_SEED, shifted=False)
        tell_unknown(split, corpus.tokens, self.tokenizer.unknown_id, say)
        return corpus

    def plan(self, corpus: Corpus, epoch: int) -> Plan:
        """The batches of an epoch."""
        return corpus.plan(batch_tokens=self.recipe.training.tokens_together, epoch=epoch)

    # --- training and judging

    def loss(self, model: nn.Module, batch: MaskedBatch, smoothing: float) -> tuple[Tensor, Tensor]:
        """(sum of the loss, sum of the plain NLL) over the chosen tokens alone.

        Whether the second text follows the first weighs as much as all masks of a full row.
        """
        hidden = model(batch.inputs, batch.positions, batch.texts)
        logits = model.head(hidden[batch.chosen]).float()  # type: ignore[operator]
        nll = loss = F.cross_entropy(logits, batch.labels, reduction="sum")
        if smoothing:
            loss = F.cross_entropy(logits, batch.labels, reduction="sum", label_smoothing=smoothing)
        if batch.torn is not None:
            guess = model.next_sentence(hidden).float()  # type: ignore[operator]
            weight = self.data.mask_rate * self.data.context
            loss = loss + weight * F.cross_entropy(guess, batch.torn, reduction="sum")
        return loss, nll.detach()

    @torch.inference_mode()
    def tally(self, model: nn.Module, corpus: Corpus) -> Tally:
        """Of each row, where the mask stands: nats, right guesses, masks; and 1 where it was told
        rightly which pair is torn; [N,4]. Masks are the same every time.

        Chosen tokens that stay, or become another token, are not counted: some can be read off.
        """
        found = []
        for first in range(0, len(corpus), EVALUATED_TOGETHER):
            rows = np.arange(first, min(first + EVALUATED_TOGETHER, len(corpus)))
            batch = on_device(corpus.batch(rows), device_of(model))
            masked = batch.chosen & (batch.inputs == corpus.masking.mask)
            labels = batch.labels[masked[batch.chosen]]
            hidden = model(batch.inputs, batch.positions, batch.texts)
            logits = model.head(hidden[masked]).float()  # type: ignore[operator]
            nats = F.cross_entropy(logits, labels, reduction="none")
            hits = logits.argmax(dim=-1) == labels
            told = torch.zeros(len(rows))
            if batch.torn is not None:
                told = model.next_sentence(hidden).argmax(dim=-1) == batch.torn  # type: ignore[operator]
            place = masked.nonzero()[:, 0].cpu().numpy()
            columns = [
                np.bincount(place, values.double().cpu().numpy(), len(rows))
                for values in (nats, hits, torch.ones_like(nats))
            ]
            found.append(np.stack([*columns, told.double().cpu().numpy()], axis=1))
        return np.concatenate(found)

    def scores(self, tally: Tally) -> dict[str, float]:
        """nll, perplexity and accuracy of any rows of a tally; of pairs also `next_sentence`, the
        share that was told rightly."""
        nats, hits, masks, told = tally.sum(axis=0).tolist()
        nll = nats / max(1, masks)
        found = {"nll": nll, "perplexity": perplexity(nll), "accuracy": hits / max(1, masks)}
        return found | ({"next_sentence": told / len(tally)} if self.data.next_sentence else {})

    def judge(self, model: nn.Module, corpus: Corpus) -> Judgement:
        """Nats per masked token, and all scores."""
        scores = self.scores(self.tally(model, corpus))
        return Judgement(scores["nll"], scores)

    def validate(self, model: nn.Module, corpus: Corpus, judged: Judgement) -> dict[str, float]:
        """Accuracies."""
        return {n: v for n, v in judged.found.items() if n not in ("nll", "perplexity")}

    def hardest(self, corpus: Corpus) -> tuple[Corpus, float]:
        """The beginning of a corpus that is computed together, and how many of it there are."""
        part = corpus.first(EVALUATED_TOGETHER)
        return part, len(corpus) / len(part)

    @torch.inference_mode()
    def fill(
        self, model: nn.Module, rows: Sequence[int], top: int
    ) -> list[list[tuple[int, float]]]:
        """The likeliest tokens, with their probabilities, of each mask in a row of ids.

        Special tokens are none that a text can have: the others' probabilities sum to 1.
        """
        row = [self.tokenizer.begin_id, *rows, self.tokenizer.end_id]
        inputs = torch.tensor([row], device=device_of(model))
        logits = model.head(model(inputs)[inputs == self.tokenizer.mask_id]).float()  # type: ignore[operator]
        barred = self._special()
        logits[:, barred] = float("-inf")
        possible = logits.shape[-1] - len(barred)
        values, ids = torch.softmax(logits, dim=-1).topk(min(top, possible), dim=-1)
        return [
            list(zip(some.tolist(), some_p.tolist(), strict=True))
            for some, some_p in zip(ids, values, strict=True)
        ]

    def sample(self, model: nn.Module, corpus: Corpus, index: int) -> str:
        """A row with its masks, and what the model puts there."""
        block = corpus.batch(np.array([index % len(corpus)])).inputs[0, 1:-1].tolist()
        filled = iter(self.fill(model, block, 1))
        mask = self.tokenizer.mask_id
        found = [f"[{self._text([next(filled)[0][0]])}]" if i == mask else i for i in block]
        return f"  {self._text(found[:60])}"

    def _text(self, ids: Sequence[int | str]) -> str:
        """Tokens as text, with marks between that are text already."""
        labels = (i if isinstance(i, str) else self.tokenizer.labels([i])[0] for i in ids)
        return "".join(labels).replace("▁", " ")

    def describe(self, corpus: Corpus) -> dict[str, Any]:
        """Numbers about a corpus, for the model card."""
        return {
            "documents": len(corpus.documents),
            "tokens": corpus.size,
            "fingerprint": corpus.fingerprint,
        }


Task = MaskedLanguageModeling
