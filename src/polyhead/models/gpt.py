"""GPT: a decoder without an encoder, which predicts the next token.

"Improving Language Understanding by Generative Pre-Training" (Radford et al. 2018): the decoder of
the Transformer, post-norm, with learned positions and GELU. "Language Models are Unsupervised
Multitask Learners" (Radford et al. 2019, GPT-2): pre-norm, a norm at the end, and residual
projections that begin smaller the deeper the model is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from polyhead.attention.masks import Allowed, Causal, SameSpan
from polyhead.attention.state import KeyValueCache, same_rows
from polyhead.config import Family, ModelSection
from polyhead.layers import initialisation
from polyhead.layers.block import EncoderBlock, NormPlace
from polyhead.layers.dropout import Dropout
from polyhead.layers.embeddings import OutputHead, TokenEmbedding
from polyhead.layers.feedforward import Activation
from polyhead.layers.positions import Positions


def _shape(d_model: int, num_layers: int, num_heads: int, **keys: Any) -> dict[str, Any]:
    values = {"norm": "pre", "activation": "gelu_tanh", "max_length": 1024, "dropout": 0.1}
    sizes = {"d_model": d_model, "num_layers": num_layers, "num_heads": num_heads}
    return sizes | {"d_ff": 4 * d_model} | values | keys


Purpose = Literal["language", "sequence", "tokens"]
"""What it is for: text alone, or also answers about a whole row or about each of its tokens."""

PRESETS: dict[str, dict[str, Any]] = {
    "char-tiny": _shape(128, 4, 4, activation="gelu", max_length=64, dropout=0.0),
    "char": _shape(384, 6, 6, activation="gelu", max_length=256, dropout=0.2),
    "gpt1": _shape(768, 12, 12, norm="post", max_length=512),
    "gpt2": _shape(768, 12, 12),
    "gpt2-medium": _shape(1024, 24, 16),
    "gpt2-large": _shape(1280, 36, 20),
    "gpt2-xl": _shape(1600, 48, 25),
}


class Config(ModelSection):
    """The `model:` section of a recipe; a preset's values stand where a key is not given."""

    family: ClassVar[Family] = "decoder"
    presets: ClassVar = PRESETS
    kind: Literal["gpt"] = Field("gpt", description="this model")
    preset: (
        Literal["char-tiny", "char", "gpt1", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"] | None
    ) = Field(None, description="fills in the keys below that you do not give")
    d_model: int = Field(768, ge=2, description="width of every vector")
    num_layers: int = Field(12, ge=1, description="blocks")
    num_heads: int = Field(12, ge=1, description="attention heads; must divide `d_model`")
    d_ff: int = Field(3072, ge=1, description="width inside the feed-forward layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of elements dropped in training")
    norm: NormPlace = Field(
        "pre", description="layer norm before each sub-layer (`pre`, GPT-2) or after (`post`)"
    )
    activation: Activation = Field(
        "gelu_tanh", description="`gelu` is exact and faster on a CPU; `gelu_tanh` is GPT-2's"
    )
    max_length: int = Field(1024, ge=1, description="longest sequence, in tokens")

    @model_validator(mode="after")
    def _heads_divide(self) -> Config:
        if self.from_ is None and self.d_model % self.num_heads:
            raise ValueError(
                f"d_model {self.d_model} is not divisible by num_heads {self.num_heads}"
            )
        return self


@dataclass(frozen=True)
class State:
    """What a generation needs to go on: a cache per layer, and where every slot stands.

    `positions` [R,slots] are those of the cached tokens (-1: empty), `next_positions` [R] those
    that follow. `full` says that no slot is empty, known without looking.
    """

    caches: tuple[KeyValueCache, ...]
    positions: Tensor
    next_positions: Tensor
    full: bool = True

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> State:
        """The state of these rows, in this order, repeats allowed; a row is its own sentence."""
        if same_rows(rows, len(self.positions)):
            return self
        return replace(
            self,
            caches=tuple(cache.select(rows) for cache in self.caches),
            positions=self.positions.index_select(0, rows),
            next_positions=self.next_positions.index_select(0, rows),
        )


class GPT(nn.Module):
    """Decoder-only Transformer over token ids [B,T]."""

    def __init__(
        self, config: Config, *, vocab_size: int, purpose: Purpose = "language", outputs: int = 0
    ):
        super().__init__()
        self.config, self.purpose = config, purpose
        width = config.d_model
        self.embedding = TokenEmbedding(vocab_size, width, scaled=False)
        self.positions = Positions("learned", width, config.max_length)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            EncoderBlock(
                d_model=width,
                d_ff=config.d_ff,
                dropout=config.dropout,
                norm=config.norm,
                num_heads=config.num_heads,
                activation=config.activation,
                name=f"decoder.{i}",
            )
            for i in range(config.num_layers)
        )
        pre = config.norm == "pre"
        self.norm = nn.LayerNorm(width) if pre else nn.Identity()
        self.head = OutputHead(self.embedding.weight)
        self.answers = None if purpose == "language" else nn.Linear(width, outputs)
        residual = (2 * config.num_layers) ** -0.5 if pre else 1.0
        initialisation.normal(self, blocks=self.blocks, residual=residual)

    def forward(
        self, tokens: Tensor, positions: Tensor | None = None, documents: Tensor | None = None
    ) -> Tensor:
        """Hidden states [B,T,E], which `head` turns into the logits of next tokens.

        positions [B,T] default to 0 … T-1 in every row; -1 marks empty slots. documents [B,T]
        number the documents of a row: none sees another.
        """
        if positions is None:
            allowed = Allowed.from_the_start(tokens.shape[1], tokens.device)
            positions = allowed.q_positions
        elif documents is None:
            allowed = Causal().prepare(positions, positions)
        else:
            width = self.config.max_length
            apart = torch.where(positions < 0, positions, documents * width + positions)
            allowed = (Causal() & SameSpan(width)).prepare(apart, apart)
        x = self.dropout(self.positions(self.embedding(tokens), positions))
        for block in self.blocks:
            x = block(x, allowed)
        return self.norm(x)

    def answer(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """`outputs` numbers about each row, [B,outputs], of its last token's hidden state; or about
        each token, [B,T,outputs] (Radford et al. 2018, section 3.2)."""
        if self.purpose == "sequence":
            rows = torch.arange(hidden.shape[0], device=hidden.device)
            hidden = hidden[rows, positions.argmax(dim=1)]
        answers: Tensor = self.answers(self.dropout(hidden))  # type: ignore[misc]
        return answers

    def begin(self, rows: int) -> State:
        """The state before the first token of so many rows."""
        blocks = cast(Sequence[EncoderBlock], self.blocks)
        like = self.embedding.weight.new_empty(0, dtype=blocks[0].attention.products)
        positions = torch.empty(rows, 0, dtype=torch.long, device=like.device)
        return State(
            caches=tuple(block.attention.empty_cache(rows, like) for block in blocks),
            positions=positions,
            next_positions=positions.new_zeros(rows),
        )

    def step(
        self,
        tokens: Tensor,
        state: State,
        positions: Tensor | None = None,
        *,
        last_only: bool = False,
    ) -> tuple[Tensor, State]:
        """Logits [R,T,V] of what follows each of tokens [R,T], and the state after them.

        positions [R,T] default to the next ones; -1 marks empty slots (a padded prompt's).
        `last_only` gives the logits of the last slot alone, [R,1,V].
        """
        length = tokens.shape[1]
        full = state.full and positions is None
        if positions is None:
            positions = state.next_positions[:, None] + torch.arange(length, device=tokens.device)
        slots = torch.cat([state.positions, positions], dim=1)
        if full and length == 1:
            allowed = Allowed.whole(positions, slots)
        elif full and slots.shape[1] == length:
            allowed = Allowed.from_the_start(length, tokens.device)
        else:
            allowed = Causal().prepare(positions, slots)
        x = self.positions(self.embedding(tokens), positions)
        caches = []
        for block, cache in zip(
            cast(Iterable[EncoderBlock], self.blocks), state.caches, strict=True
        ):
            x, longer = block.step(x, allowed, cache)
            caches.append(longer)
        after = State(
            caches=tuple(caches),
            positions=slots,
            next_positions=torch.maximum(state.next_positions, positions.amax(dim=1) + 1),
            full=full,
        )
        hidden = x[:, -1:] if last_only else x
        return self.head(self.norm(hidden)), after


def build(
    config: Config, *, vocab_size: int, purpose: Purpose = "language", outputs: int = 0
) -> GPT:
    """The model of a recipe."""
    return GPT(config, vocab_size=vocab_size, purpose=purpose, outputs=outputs)


def parameter_count(
    config: Config, *, vocab_size: int, purpose: Purpose = "language", outputs: int = 0
) -> int:
    """Parameters by formula: a second derivation of what is built."""
    d, ff = config.d_model, config.d_ff
    attention = 4 * (d * d + d)
    feedforward = 2 * d * ff + d + ff
    block = attention + feedforward + 2 * (2 * d)
    final_norm = 2 * d if config.norm == "pre" else 0
    answers = 0 if purpose == "language" else (d + 1) * outputs
    return (vocab_size + config.max_length) * d + config.num_layers * block + final_norm + answers
