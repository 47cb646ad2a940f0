"""Convolutional sequence to sequence learning (Gehring et al. 2017, arXiv 1705.03122).

Embeddings that know their position go through layers of gated convolutions, those of the decoder
looking back only; every decoder layer attends to the encoder's output:

    h = glu(conv(x));  d = W h + b + g;  a = softmax(d . z);  c = sum a (z + e)
    x = ((h + V c) sqrt(.5) + x) sqrt(.5)

e, g are the embeddings of source and target, z the encoder's output. Sums of two are scaled by
sqrt(.5), and c by the root of the source's length, so that variance stays what it is (section 3.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from polyhead.attention.evaluations import Attending
from polyhead.attention.masks import EMPTY, Allowed
from polyhead.attention.state import Memory, same_rows
from polyhead.config import Family, ModelSection
from polyhead.layers.convolution import WeightNormed, gated_convolution
from polyhead.layers.dropout import Dropout
from polyhead.layers.embeddings import OutputHead, TokenEmbedding
from polyhead.layers.positions import Positions

HALF = math.sqrt(0.5)
Affine = tuple[Tensor, Tensor]
"""A weight and a bias."""

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"d_model": 128, "num_layers": 4, "width": 3, "dropout": 0.2},
    "small": {"d_model": 256, "num_layers": 6, "width": 3, "dropout": 0.2},
    "base": {"d_model": 512, "num_layers": 8, "width": 3, "dropout": 0.2},
}


class Config(ModelSection):
    """The `model:` section of a recipe; a preset's values stand where a key is not given."""

    family: ClassVar[Family] = "encoder-decoder"
    presets: ClassVar = PRESETS
    kind: Literal["conv_seq2seq"] = "conv_seq2seq"
    preset: Literal["tiny", "small", "base"] | None = None
    d_model: int = Field(256, ge=2, description="width of the layers")
    d_embedding: int | None = Field(None, ge=2, description="width of embeddings; null: d_model")
    num_layers: int = Field(6, ge=1, description="layers of the encoder, and of the decoder")
    width: int = Field(3, ge=1, description="tokens a convolution sees; odd")
    dropout: float = Field(0.2, ge=0, lt=1)
    positions: Literal["learned", "none"] = "learned"
    max_length: int = Field(1024, ge=1, description="longest sequence, in tokens")

    @model_validator(mode="after")
    def _fits(self) -> Config:
        if self.width % 2 == 0:
            raise ValueError(
                f"width {self.width} is even, but the encoder's convolutions see as much before "
                "a token as after it; choose an odd width"
            )
        return self

    @property
    def embedding(self) -> int:
        return self.d_embedding or self.d_model


@dataclass(frozen=True)
class State:
    """What a decoding needs to go on; R rows are n per source sentence, one after another.

    caches: each layer's last width-1 inputs [R,width-1,D]; next_positions [R]; memory and
    length_roots [B,1,1] are the source's; weights: the decoder's, normalised once.
    """

    caches: tuple[Tensor, ...]
    next_positions: Tensor
    memory: Memory
    length_roots: Tensor
    weights: Weights

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> State:
        """The state of these rows (repeats allowed), and of these sentences (default: all)."""
        state = self
        if not same_rows(rows, len(self.next_positions)):
            state = replace(
                state,
                caches=tuple(cache.index_select(0, rows) for cache in self.caches),
                next_positions=self.next_positions.index_select(0, rows),
            )
        if sentences is not None and not same_rows(sentences, len(self.length_roots)):
            state = replace(
                state,
                memory=self.memory.select(sentences),
                length_roots=self.length_roots.index_select(0, sentences),
            )
        return state

    def where(self, moved: Tensor, other: State) -> State:
        """This state where `moved` (bool [R]), the other's elsewhere; the source stays."""
        pairs = zip(self.caches, other.caches, strict=True)
        return replace(
            self,
            caches=tuple(torch.where(moved[:, None, None], a, b) for a, b in pairs),
            next_positions=torch.where(moved, self.next_positions, other.next_positions),
        )


@dataclass(frozen=True)
class Weights:
    """The decoder's weights; per layer those of the convolution, of the query, of the context."""

    enter: Affine
    layers: tuple[tuple[Affine, Affine, Affine], ...]
    leave: Affine


class DecoderLayer(nn.Module):
    """The weights of a gated convolution and of the attention that follows it."""

    def __init__(self, config: Config):
        super().__init__()
        width, embedding = config.d_model, config.embedding
        self.convolution = _gated(config)
        self.query = WeightNormed(width, embedding, gain=1.0)
        self.context = WeightNormed(embedding, width, gain=1.0)

    def forward(self) -> tuple[Affine, Affine, Affine]:
        return self.convolution(), self.query(), self.context()


class ConvSeq2Seq(Attending):
    """Encoder-decoder of convolutions; sequences are token ids [B,T] with their positions [B,T].

    Targets in `forward` are padded on the right.
    """

    def __init__(self, config: Config, *, source_vocab: int, target_vocab: int, shared: bool):
        super().__init__()
        self.config = config
        width, embedding, kept = config.d_model, config.embedding, 1 - config.dropout
        # small, as in the paper: then attention starts even
        self.target_embedding = TokenEmbedding(target_vocab, embedding, scaled=False)
        self.source_embedding = (
            self.target_embedding
            if shared
            else TokenEmbedding(source_vocab, embedding, scaled=False)
        )
        self.positions = Positions(config.positions, embedding, config.max_length)
        self.target_positions = Positions(config.positions, embedding, config.max_length)
        self.dropout = Dropout(config.dropout)
        self.enter = WeightNormed(embedding, width, gain=kept)
        self.encoder = nn.ModuleList(_gated(config) for _ in range(config.num_layers))
        self.leave = WeightNormed(width, embedding, gain=1.0)
        self.target_enter = WeightNormed(embedding, width, gain=kept)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.target_leave = WeightNormed(width, embedding, gain=1.0)
        self.head = OutputHead(self.target_embedding.weight)

    def encode(self, source: Tensor, positions: Tensor) -> Memory:
        """source [B,S] -> keys z and values (z + e) sqrt(.5), [B,1,S,E]."""
        filled = (positions != EMPTY)[:, :, None]
        e = self.dropout(self.positions(self.source_embedding(source), positions))
        x = F.linear(e, *self.enter())
        reach = self.config.width // 2
        for layer in self.encoder:
            # what stands in padding must look as what lies beyond a sentence's end: nothing
            inner = F.pad(self.dropout(x).masked_fill(~filled, 0.0), (0, 0, reach, reach))
            x = (gated_convolution(inner, layer(), self.config.width) + x) * HALF
        z = F.linear(x, *self.leave())
        if self.training:  # each decoder layer adds its own gradient (section 3.5)
            share = 1 / (2 * self.config.num_layers)
            z = z * share + z.detach() * (1 - share)
        return Memory(z[:, None], ((z + e) * HALF)[:, None], Allowed.keys(positions))

    def begin(self, source: Tensor, positions: Tensor) -> State:
        """Read the source, and normalise the decoder's weights once."""
        memory = self.encode(source, positions)
        lengths = (positions != EMPTY).sum(dim=1)
        like = memory.keys
        shape = (len(source), self.config.width - 1, self.config.d_model)
        return State(
            caches=tuple(like.new_zeros(shape) for _ in self.decoder),
            next_positions=positions.new_zeros(len(source)),
            memory=memory.to(self.products or like.dtype),
            length_roots=lengths.to(like.dtype).sqrt()[:, None, None],
            weights=Weights(
                enter=self.target_enter(),
                layers=tuple(layer() for layer in self.decoder),
                leave=self.target_leave(),
            ),
        )

    def forward(
        self, source: Tensor, source_positions: Tensor, target: Tensor, target_positions: Tensor
    ) -> Tensor:
        """Teacher-forced: hidden states [B,T,E], which `head` turns into next tokens' logits."""
        state = self.begin(source, source_positions)
        return self._go(target, state, target_positions)[0]

    def step(
        self, tokens: Tensor, state: State, positions: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Logits [R,T,V] of what follows each of tokens [R,T], and the state after them.

        positions [R,T] default to the next ones; -1 marks empty slots (a padded prompt's).
        """
        if positions is None:
            counts = torch.arange(tokens.shape[1], device=tokens.device)
            hidden, after = self._go(tokens, state, state.next_positions[:, None] + counts)
            return self.head(hidden), after
        parts = []
        for token, place in zip(tokens.split(1, dim=1), positions.split(1, dim=1), strict=True):
            hidden, after = self._go(token, state, place)
            state = after.where(place[:, 0] != EMPTY, state)
            parts.append(hidden)
        return self.head(torch.cat(parts, dim=1)), state

    def _go(self, tokens: Tensor, state: State, positions: Tensor) -> tuple[Tensor, State]:
        """tokens [R,T] after a state -> hidden [R,T,E], the state after them."""
        weights, width = state.weights, self.config.width
        g = self.dropout(self.target_positions(self.target_embedding(tokens), positions))
        x = F.linear(g, *weights.enter)
        caches = []
        for i, (layer, cache) in enumerate(zip(weights.layers, state.caches, strict=True)):
            convolution, query, context = layer
            inner = torch.cat([cache, self.dropout(x)], dim=1)
            caches.append(inner[:, inner.shape[1] - width + 1 :])
            h = gated_convolution(inner, convolution, width)
            c = self._attend((F.linear(h, *query) + g) * HALF, state, f"decoder.{i}.cross")
            x = ((h + F.linear(c, *context)) * HALF + x) * HALF
        after = replace(state, caches=tuple(caches), next_positions=positions.amax(dim=1) + 1)
        return self.dropout(F.linear(x, *weights.leave)), after

    def _attend(self, q: Tensor, state: State, name: str) -> Tensor:
        """Contexts [R,T,E] of queries [R,T,E], scaled by the root of the source's length."""
        memory = state.memory
        rows = q.reshape(len(memory.keys), -1, q.shape[-1])
        k, v = memory.keys, memory.values
        c = self.attend(rows[:, None], k, v, memory.allowed, scale=1.0, name=name)
        return (c[:, 0] * state.length_roots).reshape(q.shape)


def _gated(config: Config) -> WeightNormed:
    inputs = config.width * config.d_model
    return WeightNormed(inputs, 2 * config.d_model, gain=4 * (1 - config.dropout))


def build(config: Config, *, source_vocab: int, target_vocab: int, shared: bool) -> ConvSeq2Seq:
    """The model of a recipe; `shared`: one vocabulary, and one embedding, for both languages."""
    return ConvSeq2Seq(config, source_vocab=source_vocab, target_vocab=target_vocab, shared=shared)


def parameter_count(config: Config, *, source_vocab: int, target_vocab: int, shared: bool) -> int:
    """Parameters by formula: a second derivation of what is built."""
    d, e, count = config.d_model, config.embedding, WeightNormed.count
    convolution = count(config.width * d, 2 * d)
    sides = 2 * (count(e, d) + count(d, e))
    layers = config.num_layers * (2 * convolution + count(d, e) + count(e, d))
    embeddings = (target_vocab + (0 if shared else source_vocab)) * e
    learned = 2 * config.max_length * e if config.positions == "learned" else 0
    return embeddings + learned + sides + layers
