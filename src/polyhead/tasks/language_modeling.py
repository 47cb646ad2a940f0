"""Language modelling: predict every token from those before it (Radford et al. 2018, section 3.1).

The documents are one stream, END doc END doc END: generation without a prompt begins from END, as
GPT-2 begins from <|endoftext|>, and the model learns where a document ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from polyhead.config import Family, Recipe
from polyhead.data import tokenizers
from polyhead.data.batching import Plan, device_of, on_device
from polyhead.data.documents import Documents, read_documents
from polyhead.data.stream import BlockBatch, Stream
from polyhead.data.tokenizers import Tokenizer
from polyhead.decoding.generate import Settings, generate_ids
from polyhead.layers.embeddings import OutputHead
from polyhead.layers.loss import cross_entropy, token_log_probabilities
from polyhead.tasks.shared.protocol import Judgement, Say
from polyhead.tasks.shared.splits import sources_of
from polyhead.tasks.shared.texts import TextData, read_training
from polyhead.tasks.shared.unknown import tell_unknown

EVALUATED_TOGETHER = 4096  # tokens of a batch of windows
SAMPLE = 120  # tokens of the text that a validation shows


class Data(TextData):
    """The `data:` section of a language modelling recipe."""

    families: ClassVar[tuple[Family, ...]] = ("decoder",)

    context: int = Field(256, ge=2, description="tokens that are looked at together in training")
    stride: int | None = Field(
        None,
        ge=1,
        description="tokens between the windows of an evaluation; none: half the context. Every "
        "token is predicted once, from at least `context` - `stride` tokens if there are so many",
    )
    separate_documents: bool = Field(
        False, description="positions and masks restart at every document: none sees another"
    )
    fixed_blocks: bool = Field(
        False, description="cut every epoch's blocks at the same places, not at a random offset"
    )


@dataclass
class LanguageModeling:
    """The task: a tokenizer, and what it makes of streams of tokens."""

    recipe: Recipe
    tokenizer: Tokenizer
    unit: str = "blocks"

    @property
    def data(self) -> Data:
        assert isinstance(self.recipe.data, Data)
        return self.recipe.data

    @property
    def stride(self) -> int:
        """Tokens between the windows of an evaluation."""
        return min(self.data.stride or max(1, self.data.context // 2), self.data.context)

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
    def train_tokenizers(cls, recipe: Recipe, read: Documents) -> LanguageModeling:
        """The task with a tokenizer trained on the documents."""
        lines = (line for text in read.texts for line in text.splitlines(keepends=True))
        return cls(recipe, tokenizers.train(recipe.tokenizer, lines, verbatim=True))

    @classmethod
    def load(cls, recipe: Recipe, folder: Path) -> LanguageModeling:
        """The task with the tokenizer of a run folder."""
        return cls(recipe, Tokenizer.load(folder / "tokenizer.json"))

    def save(self, folder: Path) -> None:
        """Write the tokenizer into a run folder."""
        self.tokenizer.save(folder / "tokenizer.json")

    def sizes(self) -> dict[str, Any]:
        """What a model must know to be built."""
        return {"vocab_size": self.tokenizer.size}

    def vocabulary(self, weight: str) -> tuple[str, Tokenizer]:
        """(name, tokenizer) of the only vocabulary."""
        return "token", self.tokenizer

    # --- data

    def encode(self, documents: Documents) -> Stream:
        """Documents as a stream of tokens."""
        return Stream.of(
            [self.tokenizer.encode_long(text) for text in documents.texts],
            documents,
            end_id=self.tokenizer.end_id,
            context=self.data.context,
            apart=self.data.separate_documents,
        )

    def training_corpus(self, read: Documents, say: Say) -> Stream:
        """The stream to train on."""
        stream = self.encode(read)
        say(f"{stream.predicted:,} tokens in {len(stream):,} blocks of {stream.length}")
        if stream.length < self.data.context:
            say(
                f"the training text is shorter than one block of {self.data.context} tokens: the "
                "model will never see longer contexts"
            )
        return stream

    def documents(self, split: str) -> Documents:
        """The valid or test split as text; raises DataError where the recipe names none."""
        return read_documents(sources_of(self.data, split))

    def to_judge(self, documents: Documents, split: str, say: Say) -> Stream:
        """Documents as a stream to be judged on; unknown tokens, which are easy, are told of."""
        stream = self.encode(documents)
        tell_unknown(split, stream.ids[1:], self.tokenizer.unknown_id, say)
        return stream

    def read(self, split: str, say: Say) -> Stream:
        """The valid or test split; raises DataError where the recipe names none."""
        return self.to_judge(self.documents(split), split, say)

    def plan(self, corpus: Stream, epoch: int) -> Plan:
        """The batches of an epoch."""
        return corpus.plan(
            batch_tokens=self.recipe.training.tokens_together,
            seed=self.recipe.seed,
            epoch=epoch,
            shifted=not self.data.fixed_blocks,
        )

    # --- training and judging

    def loss(self, model: nn.Module, batch: BlockBatch, smoothing: float) -> tuple[Tensor, Tensor]:
        """(sum of the smoothed loss, sum of the plain NLL) over all labels."""
        hidden = model(batch.inputs, batch.positions, batch.documents)
        return cross_entropy(
            hidden.flatten(0, 1),
            model.head.weight,  # type: ignore[union-attr, arg-type]
            batch.labels.flatten(),
            smoothing=smoothing,
        )

    @torch.inference_mode()
    def log_probabilities(
        self, model: nn.Module, corpus: Stream, stride: int | None = None
    ) -> NDArray[np.float64]:
        """log p [T] of each token of a stream but the first, by overlapping windows."""
        found, device = [], device_of(model)
        for offsets, counted in windows_of(corpus, stride or self.stride):
            batch = on_device(corpus.windows(offsets, corpus.length), device)
            hidden = model(batch.inputs, batch.positions, batch.documents)
            new = torch.arange(corpus.length) >= corpus.length - torch.from_numpy(counted)[:, None]
            new = new.to(device)
            head = cast(OutputHead, model.head)
            values = token_log_probabilities(hidden[new], head, batch.labels[new])
            found.append(values.double().cpu().numpy())
        return np.concatenate(found)

    def judge(self, model: nn.Module, corpus: Stream) -> Judgement:
        """Nats per token over the whole split, the ends of documents included."""
        return Judgement(-float(self.log_probabilities(model, corpus).mean()))

    def validate(self, model: nn.Module, corpus: Stream, judged: Judgement) -> dict[str, float]:
        """Bits per byte, which compares across tokenizers."""
        return {"bits_per_byte": self.bits_per_byte(judged.nll, corpus)}

    def hardest(self, corpus: Stream) -> tuple[Stream, float]:
        """The beginning of a stream that is computed together, and how many of it there are."""
        part = corpus.first(EVALUATED_TOGETHER)
        return part, corpus.predicted / part.predicted

    def bits_per_byte(self, nll: float, corpus: Stream) -> float:
        """The same surprise spread over the UTF-8 bytes that its tokens tell."""
        return nll * corpus.predicted / math.log(2) / int(self.told_bytes(corpus).sum())

    def told_bytes(self, corpus: Stream) -> NDArray[np.int64]:
        """UTF-8 bytes of each document that its tokens tell, and one for its end; [D]."""
        rows = [row.tolist() for row in np.split(corpus.ids[:-1], corpus.starts[1:])]
        return np.array(self.tokenizer.told_bytes(corpus.documents.texts[: len(rows)], rows)) + 1

    def sample(self, model: nn.Module, corpus: Stream, index: int) -> str:
        """How the model goes on from some place of a corpus, always taking the likeliest token."""
        offset = (index * corpus.length) % max(1, corpus.predicted - corpus.length)
        prompt = corpus.ids[offset : offset + max(1, corpus.length // 4)].tolist()
        (found,) = generate_ids(model, [prompt], self.tokenizer, Settings(max_tokens=SAMPLE))
        text = self.tokenizer.text(prompt[-SAMPLE:])
        return f"…{text}\n  model: {self.tokenizer.text(found[0].tokens)}"

    def describe(self, corpus: Stream) -> dict[str, Any]:
        """Numbers about a corpus, for the model card."""
        return {
            "documents": len(corpus.documents),
            "tokens": corpus.predicted,
            "bytes": corpus.documents.bytes,
            "fingerprint": corpus.fingerprint,
        }


Task = LanguageModeling


def windows_of(
    corpus: Stream, stride: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(offsets of windows, how many labels at the end of each are counted), in batches.

    The first window counts whole; each later one counts the labels that come after the one before.
    """
    length = corpus.length
    ends = np.append(np.arange(length, corpus.predicted, stride), corpus.predicted)
    counted = np.diff(ends, prepend=0)
    rows = max(1, EVALUATED_TOGETHER // length)
    for first in range(0, len(ends), rows):
        chosen = slice(first, first + rows)
        yield ends[chosen] - length, counted[chosen]
