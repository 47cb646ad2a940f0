"""The Transformer (Vaswani et al. 2017, "Attention Is All You Need", arXiv 1706.03762).

An encoder reads the source; a decoder writes the target one token at a time, attending to what it
has written and to the encoder's memory. Post-norm as in the paper, or pre-norm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from polyhead.attention import tap
from polyhead.attention.masks import EMPTY, Allowed, Causal
from polyhead.attention.packing import Packing, alike
from polyhead.attention.state import (
    Encoded,
    KeyValueCache,
    Memory,
    same_rows,
    select_parts,
    whole_vectors,
)
from polyhead.config import Family, ModelSection
from polyhead.layers import initialisation
from polyhead.layers.block import DecoderBlock, EncoderBlock, NormPlace
from polyhead.layers.dropout import Dropout
from polyhead.layers.embeddings import OutputHead, TokenEmbedding
from polyhead.layers.feedforward import Activation
from polyhead.layers.positions import PositionKind, Positions
from polyhead.layers.swift import Quick, Swift, SwiftDecoder, scripted

# A CPU encodes, and remembers, sources of so many slots together: fast products, little padding.
TOGETHER = 256

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"d_model": 128, "num_layers": 4, "num_heads": 4, "d_ff": 256, "dropout": 0.3},
    "small": {"d_model": 256, "num_layers": 3, "num_heads": 4, "d_ff": 1024, "dropout": 0.1},
    "base": {"d_model": 512, "num_layers": 6, "num_heads": 8, "d_ff": 2048, "dropout": 0.1},
    "big": {"d_model": 1024, "num_layers": 6, "num_heads": 16, "d_ff": 4096, "dropout": 0.3},
}


class Config(ModelSection):
    """The `model:` section of a recipe; a preset's values stand where a key is not given."""

    family: ClassVar[Family] = "encoder-decoder"
    presets: ClassVar = PRESETS
    kind: Literal["transformer"] = "transformer"
    preset: Literal["tiny", "small", "base", "big"] | None = None
    d_model: int = Field(512, ge=2)
    num_layers: int = Field(6, ge=1, description="blocks of the encoder, and of the decoder")
    num_heads: int = Field(8, ge=1)
    d_ff: int = Field(2048, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    norm: NormPlace = "post"
    positions: PositionKind = "sinusoidal"
    activation: Activation = Field("relu", description="of the feed-forward layers")
    scale_scores: bool = Field(True, description="divide scores by the root of the head width")
    scale_embeddings: bool = Field(True, description="multiply embeddings by the root of `d_model`")
    output_bias: bool = Field(False, description="a learned number for every token of the target")
    max_length: int = Field(1024, ge=1, description="longest sequence, in tokens")

    @model_validator(mode="after")
    def _heads_divide(self) -> Config:
        if self.from_ is None and self.d_model % self.num_heads:
            raise ValueError(
                f"d_model {self.d_model} is not divisible by num_heads {self.num_heads}"
            )
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"sinusoidal positions need an even d_model, not {self.d_model}")
        return self


@dataclass(frozen=True)
class State:
    """What a decoding needs to go on: per layer a cache and memories, and where every slot stands.

    `memory` is in parts of neighbouring sentences of similar length, each with a Memory per layer.

    R rows are n hypotheses of each of B sentences, one after another; a sentence's hypotheses share
    the slots of its caches. `past` [R,slots] tells which slots a row has written, None: all of its
    sentence's. `positions` [B,slots] are those of the slots, `next_positions` [R] those that
    follow, or with one row for all while they are the same. `full` says that no slot is empty.
    """

    caches: tuple[KeyValueCache, ...]
    memory: tuple[tuple[Memory, ...], ...]
    positions: Tensor
    next_positions: Tensor
    past: Tensor | None = None
    full: bool = True

    @property
    def sentences(self) -> int:
        return sum(len(part[0].keys) for part in self.memory)

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> State:
        """The state of these rows (repeats allowed), and of these sentences (default: all).

        Each sentence gets as many rows as the next, all of its own. Only other sentences are
        copied: with the same ones the state shares its caches, and one of the two may be stepped.
        """
        state = self
        if sentences is not None and not same_rows(sentences, self.sentences):
            state = state._of_sentences(sentences)
        past, following = self.past, self.next_positions
        if past is not None:
            past = past.index_select(0, rows)
        elif len(rows) > state.sentences:
            past = torch.ones(len(rows), self.positions.shape[1], dtype=torch.bool)
            past = past.to(rows.device)
        if len(following) > 1:
            following = following.index_select(0, rows)
        return replace(state, past=past, next_positions=following)

    def _of_sentences(self, sentences: Tensor) -> State:
        positions = self.positions
        return replace(
            self,
            caches=tuple(cache.select(sentences) for cache in self.caches),
            memory=select_parts(self.memory, sentences),
            positions=positions if len(positions) == 1 else positions.index_select(0, sentences),
        )

    def longer(self, rows: int, length: int, positions: Tensor | None = None) -> State:
        """The state with tokens [R,length] counted at positions [R,length], not yet in the caches.

        positions default to the next ones; -1 marks empty slots.
        """
        before, following, past = self.positions, self.next_positions, self.past
        full = self.full and positions is None
        if positions is None:
            positions = following[:, None]
            if length > 1:
                positions = positions + torch.arange(length, device=following.device)
            following = following + length
        else:
            if len(before) < self.sentences:
                before, following = before.expand(self.sentences, -1), following.expand(rows)
            following = torch.maximum(following, positions.amax(dim=1) + 1)
        each = rows // self.sentences
        if past is not None:
            past = torch.cat([past, _own(each, length, self.sentences, past.device)], dim=1)
        slots = positions.repeat(1, each) if len(positions) < rows else positions
        positions = torch.cat([before, slots.view(len(before), -1)], dim=1)
        return replace(self, positions=positions, next_positions=following, past=past, full=full)

    def allowed(self, queries: int) -> Allowed:
        """What the last slots, so many in each sentence, see of all slots."""
        q_positions = self.positions[:, -queries:]
        if self.full and self.past is None and queries == 1:
            return Allowed.whole(q_positions, self.positions)
        allowed = Causal().prepare(q_positions, self.positions)
        if self.past is None:
            return allowed
        own = self.past.view(self.sentences, -1, 1, self.past.shape[1])
        own = own.expand(-1, -1, queries // own.shape[1], -1).flatten(1, 2)
        return Allowed(allowed.matrix & own[:, None], q_positions, self.positions)


@lru_cache(maxsize=8)
def _own(each: int, length: int, sentences: int, device: torch.device) -> Tensor:
    """Which of the slots that a sentence's rows add are a row's own: [each*sentences,each*length].

    It is only read: the same one serves every step.
    """
    own = torch.eye(each, dtype=torch.bool, device=device)
    return own.repeat_interleave(length, dim=1).repeat(sentences, 1)


class Transformer(nn.Module, Quick):
    """Encoder-decoder Transformer; sequences are token ids [B,T] with their positions [B,T]."""

    def __init__(self, config: Config, *, source_vocab: int, target_vocab: int, shared: bool):
        super().__init__()
        self.config = config
        width = config.d_model
        scaled = config.scale_embeddings
        self.target_embedding = TokenEmbedding(target_vocab, width, scaled=scaled)
        self.source_embedding = (
            self.target_embedding if shared else TokenEmbedding(source_vocab, width, scaled=scaled)
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
            "activation": config.activation,
        }
        layers = range(config.num_layers)
        self.encoder = nn.ModuleList(EncoderBlock(**block, name=f"encoder.{i}") for i in layers)
        self.decoder = nn.ModuleList(DecoderBlock(**block, name=f"decoder.{i}") for i in layers)
        pre = config.norm == "pre"
        self.encoder_norm = nn.LayerNorm(width) if pre else nn.Identity()
        self.decoder_norm = nn.LayerNorm(width) if pre else nn.Identity()
        self.head = OutputHead(self.target_embedding.weight, bias=config.output_bias)
        if not pre:  # as BERT's and Marian's blocks; from Xavier's weights they learn far later
            initialisation.normal(self)
        self.head_width = width // config.num_heads
        self.quick = False
        self.swift: Swift | None = None

    def encode(self, source: Tensor, positions: Tensor, packing: Packing | None = None) -> Encoded:
        """source [B,S] -> [B,S,E], or [N,E] where a packing is given."""
        allowed = Allowed.keys(positions)
        x = self.dropout(self.positions(self.source_embedding(source), positions))
        if packing is not None:
            x = packing.pack(x)
        for block in self.encoder:
            x = block(x, allowed, packing)
        return Encoded(self.encoder_norm(x), allowed, packing)

    def forward(
        self, source: Tensor, source_positions: Tensor, target: Tensor, target_positions: Tensor
    ) -> Tensor:
        """Teacher-forced: hidden states [B,T,E], which `head` turns into next tokens' logits."""
        encoded = self.encode(source, source_positions, Packing.of(source_positions))
        allowed = Causal().prepare(target_positions, target_positions)
        x = self.dropout(self.positions(self.target_embedding(target), target_positions))
        for block in self.decoder:
            x = block(x, allowed, encoded)
        return self.decoder_norm(x)

    def begin(self, source: Tensor, positions: Tensor) -> State:
        """Encode the source and project its memory once for every layer."""
        if self.quick and self.swift is None:
            self.swift = self._scripted()
        blocks = cast("list[DecoderBlock]", self.decoder)
        like = self.source_embedding.weight
        parts = []
        for start, end, filled in alike(positions, TOGETHER if source.is_cpu else source.numel()):
            own = positions[start:end, :filled]
            encoded = self.encode(source[start:end, :filled], own, Packing.of(own))
            slots = whole_vectors(filled, self.head_width) if self.quick else filled
            seen = Allowed.keys(F.pad(own, (0, slots - filled), value=EMPTY))
            memories = (block.cross.remember(encoded) for block in blocks)
            parts.append(tuple(memory.as_read(like, seen) for memory in memories))
        return State(
            caches=tuple(block.attention.empty_cache(len(source), like) for block in blocks),
            memory=tuple(parts),
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
        after = state.longer(rows, length, positions)
        if self.swift is not None and length == 1 and after.full and not tap.anyone():
            return _swift_step(self.swift, tokens, state, after)
        allowed = after.allowed(rows * length // state.sentences)
        if positions is None:
            positions = state.next_positions[:, None] + torch.arange(length, device=tokens.device)
        x = self.positions(self.target_embedding(tokens), positions)
        caches = []
        blocks = cast(Iterable[DecoderBlock], self.decoder)
        memories = zip(*state.memory, strict=True)
        for block, cache, memory in zip(blocks, state.caches, memories, strict=True):
            x, longer = block.step(x, allowed, memory, cache)
            caches.append(longer)
        return self.head(self.decoder_norm(x)), replace(after, caches=tuple(caches))

    def quicken(self) -> None:
        """Take single decoding steps by `layers/swift.py` from the next `begin` on.

        They attend in fp32 over whole vectors of keys.
        """
        self.quick, self.swift = True, None

    def _scripted(self) -> Swift:
        decoder = SwiftDecoder(
            embedding=self.target_embedding,
            positions=self.positions,
            blocks=cast(Iterable[DecoderBlock], self.decoder),
            norm=self.decoder_norm,
            head=self.head,
        )
        return scripted(decoder)


def _swift_step(swift: Swift, tokens: Tensor, state: State, after: State) -> tuple[Tensor, State]:
    """`step` of one token a row without empty slots, as one call into torch."""
    rows = len(tokens)
    each = rows // state.sentences
    caches = tuple(cache.with_room(each) for cache in state.caches)
    seen = [part[0].allowed for part in state.memory]
    logits = swift(
        tokens[:, 0],
        state.next_positions,
        [(cache.keys, cache.values) for cache in caches],
        [[(m.keys, m.values) for m in memories] for memories in zip(*state.memory, strict=True)],
        state.caches[0].length,
        whole_vectors(caches[0].length, caches[0].keys.shape[3]),
        after.past,
        [allowed.additive(caches[0].keys.dtype)[0] for allowed in seen],
    )
    return logits[:, None], replace(after, caches=caches)


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
    bias = target_vocab if config.output_bias else 0
    return embeddings + learned + n * (encoder_block + decoder_block) + final_norms + bias
