"""The Transformer (Vaswani et al. 2017, "Attention Is All You Need", arXiv 1706.03762).

An encoder reads the source; a decoder writes the target one token at a time, attending to what it
has written and to the encoder's memory. Post-norm as in the paper, or pre-norm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from polyhead.attention.masks import Allowed, Causal, by_width
from polyhead.attention.state import KeyValueCache, Memory, same_rows
from polyhead.config import ModelSection
from polyhead.layers.block import DecoderBlock, EncoderBlock, NormPlace
from polyhead.layers.dropout import Dropout
from polyhead.layers.embeddings import OutputHead, TokenEmbedding
from polyhead.layers.positions import PositionKind, Positions

# Decoding encodes this many slots at once: enough for fast products, few enough for the caches.
ENCODED_TOGETHER = 256

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"d_model": 128, "num_layers": 4, "num_heads": 4, "d_ff": 256, "dropout": 0.3},
    "small": {"d_model": 256, "num_layers": 3, "num_heads": 4, "d_ff": 1024, "dropout": 0.1},
    "base": {"d_model": 512, "num_layers": 6, "num_heads": 8, "d_ff": 2048, "dropout": 0.1},
    "big": {"d_model": 1024, "num_layers": 6, "num_heads": 16, "d_ff": 4096, "dropout": 0.3},
}


class Config(ModelSection):
    """The `model:` section of a recipe; a preset's values stand where a key is not given."""

    kind: Literal["transformer"] = "transformer"
    preset: Literal["tiny", "small", "base", "big"] | None = None
    d_model: int = Field(512, ge=2)
    num_layers: int = Field(6, ge=1, description="blocks of the encoder, and of the decoder")
    num_heads: int = Field(8, ge=1)
    d_ff: int = Field(2048, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    norm: NormPlace = "post"
    positions: PositionKind = "sinusoidal"
    scale_scores: bool = Field(True, description="divide scores by the root of the head width")
    max_length: int = Field(1024, ge=1, description="longest sequence, in tokens")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") in PRESETS:
            return PRESETS[given["preset"]] | given
        return given

    @model_validator(mode="after")
    def _heads_divide(self) -> Config:
        if self.d_model % self.num_heads:
            raise ValueError(
                f"d_model {self.d_model} is not divisible by num_heads {self.num_heads}"
            )
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"sinusoidal positions need an even d_model, not {self.d_model}")
        return self


@dataclass(frozen=True)
class State:
    """What a decoding needs to go on: per layer a cache and a memory, and where every slot stands.

    `positions` [R,slots] are those of the cached tokens, `next_positions` [R] those that follow, or
    with one row for all while they are the same; R rows are n per source sentence, one after
    another. `full` says that no slot is empty, known without looking.
    """

    caches: tuple[KeyValueCache, ...]
    memories: tuple[Memory, ...]
    memory_allowed: Allowed
    positions: Tensor
    next_positions: Tensor
    full: bool = True

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> State:
        """The state of these rows (repeats allowed), and of these sentences (default: all)."""
        state = self
        if not same_rows(rows, len(self.caches[0].keys)):
            state = replace(state, caches=tuple(cache.select(rows) for cache in self.caches))
            if len(self.positions) > 1:
                state = replace(
                    state,
                    positions=self.positions.index_select(0, rows),
                    next_positions=self.next_positions.index_select(0, rows),
                )
        if sentences is not None and not same_rows(sentences, len(self.memories[0].keys)):
            k_positions = self.memory_allowed.k_positions.index_select(0, sentences)
            state = replace(
                state,
                memories=tuple(memory.select(sentences) for memory in self.memories),
                memory_allowed=Allowed.keys(k_positions),
            )
        return state


class Transformer(nn.Module):
    """Encoder-decoder Transformer; sequences are token ids [B,T] with their positions [B,T]."""

    def __init__(self, config: Config, *, source_vocab: int, target_vocab: int, shared: bool):
        super().__init__()
        self.config = config
        width = config.d_model
        self.target_embedding = TokenEmbedding(target_vocab, width)
        self.source_embedding = (
            self.target_embedding if shared else TokenEmbedding(source_vocab, width)
        )
        self.positions = Positions(config.positions, width, config.max_length)
        self.dropout = Dropout(config.dropout)
        block: dict[str, Any] = {
            "d_model": width,
            "d_ff": config.d_ff,
            "dropout": config.dropout,
            "norm": config.norm,
            "num_heads": config.num_heads,
            "scale_scores": config.scale_scores,
        }
        layers = range(config.num_layers)
        self.encoder = nn.ModuleList(EncoderBlock(**block, name=f"encoder.{i}") for i in layers)
        self.decoder = nn.ModuleList(DecoderBlock(**block, name=f"decoder.{i}") for i in layers)
        pre = config.norm == "pre"
        self.encoder_norm = nn.LayerNorm(width) if pre else nn.Identity()
        self.decoder_norm = nn.LayerNorm(width) if pre else nn.Identity()
        self.head = OutputHead(self.target_embedding.weight)

    def encode(self, source: Tensor, positions: Tensor) -> Tensor:
        """source [B,S] -> memory [B,S,E]."""
        allowed = Allowed.keys(positions)
        x = self.dropout(self.positions(self.source_embedding(source), positions))
        for block in self.encoder:
            x = block(x, allowed)
        return self.encoder_norm(x)

    def forward(
        self, source: Tensor, source_positions: Tensor, target: Tensor, target_positions: Tensor
    ) -> Tensor:
        """Teacher-forced: hidden states [B,T,E], which `head` turns into next tokens' logits."""
        memory = self.encode(source, source_positions)
        memory_allowed = Allowed.keys(source_positions)
        allowed = Causal().prepare(target_positions, target_positions)
        x = self.dropout(self.positions(self.target_embedding(target), target_positions))
        for block in cast(Iterable[DecoderBlock], self.decoder):
            x, _ = block(x, allowed, memory, memory_allowed)
        return self.decoder_norm(x)

    def begin(self, source: Tensor, positions: Tensor) -> State:
        """Encode the source and project its memory once for every layer."""
        blocks = cast("list[DecoderBlock]", self.decoder)
        parts: list[list[tuple[Tensor, Memory]]] = [[] for _ in blocks]
        for rows, width in by_width(positions, ENCODED_TOGETHER):
            memory = self.encode(source[rows, :width], positions[rows, :width])
            for part, block in zip(parts, blocks, strict=True):
                part.append((rows, block.cross.remember(memory)))
        return State(
            caches=tuple(b.attention.empty_cache(len(source), memory) for b in blocks),
            memories=tuple(Memory.join(part, *source.shape) for part in parts),
            memory_allowed=Allowed.keys(positions),
            positions=positions.new_empty(1, 0),
            next_positions=positions.new_zeros(1),
        )

    def step(
        self, tokens: Tensor, state: State, positions: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Logits [R,T,V] of what follows each of tokens [R,T], and the state after them.

        positions [R,T] default to the next ones; -1 marks empty slots (a padded prompt's).
        """
        rows, length = tokens.shape
        full = state.full and positions is None
        before, following = state.positions, state.next_positions
        if positions is None:
            positions = following[:, None] + torch.arange(length, device=tokens.device)
        elif len(before) < rows:
            before, following = before.expand(rows, -1), following.expand(rows)
        slots = torch.cat([before, positions], dim=1)
        if full and length == 1:
            allowed = Allowed.whole(positions, slots)
        else:
            allowed = Causal().prepare(positions, slots)
        x = self.positions(self.target_embedding(tokens), positions)
        caches = []
        for block, cache, memory in zip(self.decoder, state.caches, state.memories, strict=True):
            x, longer = block(x, allowed, memory, state.memory_allowed, cache)
            caches.append(longer)
        following = torch.maximum(following, positions.amax(dim=1) + 1)
        after = replace(
            state, caches=tuple(caches), positions=slots, next_positions=following, full=full
        )
        return self.head(self.decoder_norm(x)), after


def build(config: Config, *, source_vocab: int, target_vocab: int, shared: bool) -> Transformer:
    """The model of a recipe; `shared`: one vocabulary, and one embedding, for both languages."""
    return Transformer(config, source_vocab=source_vocab, target_vocab=target_vocab, shared=shared)


def parameter_count(config: Config, *, source_vocab: int, target_vocab: int, shared: bool) -> int:
    """Parameters by formula: a second derivation of what is built."""
    d, ff, n = config.d_model, config.d_ff, config.num_layers
    attention = 4 * (d * d + d)
    feedforward = 2 * d * ff + d + ff
    norm = 2 * d
    encoder_block = attention + feedforward + 2 * norm
    decoder_block = 2 * attention + feedforward + 3 * norm
    embeddings = (target_vocab + (0 if shared else source_vocab)) * d
    learned = config.max_length * d if config.positions == "learned" else 0
    final_norms = 2 * norm if config.norm == "pre" else 0
    return embeddings + learned + n * (encoder_block + decoder_block) + final_norms
