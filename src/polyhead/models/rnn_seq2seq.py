"""Recurrent sequence-to-sequence models, with and without attention.

    Sutskever et al. 2014, Cho et al. 2014   attention.score: none
    Bahdanau et al. 2015                     additive: asked with the previous decoder state
    Luong et al. 2015                        dot, general, concat; local-m, local-p; input feeding
    Xu et al. 2015                           attention.weights: hard

An encoder reads the source; a decoder that starts from the encoder's last state writes the target:

    h_t = cell(h_{t-1}, [y_{t-1}; h~_{t-1} if fed; c if there is no attention; c_t if additive])
    c_t = attention of h_t (additive: of h_{t-1}) to the encoder's outputs
    h~_t = tanh(W [c_t; h_t])

A step of it is attention with one query.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from polyhead.attention.masks import EMPTY
from polyhead.attention.scores import Additive, Dot, General, Score
from polyhead.attention.source import Scope, SourceAttention
from polyhead.attention.weightings import Draw
from polyhead.config import Family, ModelSection, Section
from polyhead.layers.dropout import SequenceDropout
from polyhead.layers.embeddings import OutputHead, TokenEmbedding
from polyhead.layers.loss import Taught
from polyhead.layers.recurrent import (
    PARTS,
    CellKind,
    RecurrentDecoder,
    RecurrentEncoder,
    recurrent_count,
)
from polyhead.layers.recurrent_state import RecurrentState
from polyhead.layers.reinforce import Reinforce

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"d_model": 256, "d_embedding": 128, "num_layers": 1, "dropout": 0.2},
    "small": {"d_model": 512, "d_embedding": 256, "num_layers": 1, "dropout": 0.3},
    "base": {"d_model": 1024, "d_embedding": 512, "num_layers": 2, "dropout": 0.3},
}


HARD_ONLY = ("expected", "reward", "entropy")


class AttentionConfig(Section):
    """`model.attention`: what the decoder sees of the source at each step."""

    score: Literal["dot", "general", "concat", "additive", "none"] = "general"
    scope: Scope = "global"
    weights: Literal["soft", "hard"] = "soft"
    window: int = Field(10, ge=1, description="local: tokens on each side of the centre")
    width: int | None = Field(None, ge=1, description="inside concat and additive; null: d_model")
    expected: float = Field(
        0.5, ge=0, le=1, description="hard: share of sentences that learn from the mean"
    )
    reward: float = Field(0.01, ge=0, description="hard: weight of the REINFORCE term")
    entropy: float = Field(0.002, ge=0, description="hard: weight of the entropy term")

    @model_validator(mode="after")
    def _fits(self) -> AttentionConfig:
        """What means nothing here must stand at its default; everything wrong is told at once."""
        none, soft = self.score == "none", self.weights == "soft"
        attention = "attention, but score is none; choose a score (dot, general, concat, additive)"
        idle = [(key, attention) for key in ("scope", "weights") if none]
        idle += [(key, "weights: hard; choose that") for key in HARD_ONLY if soft]
        if self.scope == "global":
            idle.append(("window", "scope: local-m or local-p; choose one"))
        if self.score not in ("concat", "additive"):
            idle.append(("width", f"the score concat or additive; {self.score} has none inside"))
        plain = {key: field.default for key, field in type(self).model_fields.items()}
        wrong = [
            f"{key}: {value} needs {needed}, or leave {key} at {plain[key]}"
            for key, needed in idle
            if (value := getattr(self, key)) != plain[key]
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


class Config(ModelSection):
    """The `model:` section of a recipe; a preset's values stand where a key is not given."""

    family: ClassVar[Family] = "encoder-decoder"
    presets: ClassVar = PRESETS
    kind: Literal["rnn_seq2seq"] = "rnn_seq2seq"
    preset: Literal["tiny", "small", "base"] | None = None
    cell: CellKind = "lstm"
    bidirectional: bool = True
    d_model: int = Field(512, ge=2, description="width of decoder states and encoder outputs")
    d_embedding: int | None = Field(
        None, ge=2, description="width of embeddings and of h~; null: d_model"
    )
    num_layers: int = Field(1, ge=1, description="layers of the encoder, and of the decoder")
    reverse_source: bool = Field(
        False, description="read the source from its end (a bidirectional encoder does anyway)"
    )
    input_feeding: bool = Field(True, description="each step reads the h~ of the one before")
    dropout: float = Field(0.3, ge=0, lt=1, description="of embeddings, between layers, and of h~")
    variational: bool = Field(False, description="one dropout mask for all steps of a sentence")
    max_length: int = Field(1024, ge=1, description="longest sequence, in tokens")
    attention: AttentionConfig = AttentionConfig()

    @model_validator(mode="after")
    def _halves(self) -> Config:
        if self.bidirectional and self.d_model % 2:
            raise ValueError(
                f"d_model {self.d_model} is odd, but a bidirectional encoder gives each direction "
                "half of it; choose an even d_model"
            )
        return self

    @property
    def embedding(self) -> int:
        return self.d_embedding or self.d_model


@dataclass(frozen=True)
class _Teaching:
    """What training draws before the first step: dropout factors and who takes the mean."""

    between: list[Tensor]
    output: Tensor | None
    mean: Tensor | None


class RNNSeq2Seq(nn.Module):
    """Encoder-decoder of recurrent layers; sequences are token ids [B,T] with positions [B,T].

    Sources, and targets in `forward`, are padded on the right.
    """

    def __init__(self, config: Config, *, source_vocab: int, target_vocab: int, shared: bool):
        super().__init__()
        self.config = config
        width, embedding = config.d_model, config.embedding
        # as they are: scaled as a Transformer's, they learn far less from a token (docs/lineage.md)
        self.target_embedding = TokenEmbedding(target_vocab, embedding, scaled=False)
        self.source_embedding = (
            self.target_embedding
            if shared
            else TokenEmbedding(source_vocab, embedding, scaled=False)
        )
        self.dropout = SequenceDropout(config.dropout, shared=config.variational)
        self.encoder = RecurrentEncoder(
            config.cell,
            inputs=embedding,
            width=width,
            num_layers=config.num_layers,
            bidirectional=config.bidirectional,
            backwards=config.reverse_source,
            dropout=self.dropout,
        )
        self.bridge = _linear(width, config.num_layers * PARTS[config.cell] * width, bias=True)
        self.decoder = RecurrentDecoder(
            config.cell,
            inputs=_decoder_inputs(config),
            width=width,
            num_layers=config.num_layers,
            dropout=self.dropout,
        )
        self.attention = _attention(config)
        # Bahdanau's decoder asks before it moves, with the state it has; Luong's after.
        self.asks_before = config.attention.score == "additive"
        self.feeds = config.input_feeding
        self.in_steps = self.asks_before or self.feeds
        self.combine = _linear(2 * width, embedding, bias=False)
        self.head = OutputHead(self.target_embedding.weight)
        hard = config.attention.weights == "hard"
        self.reinforce = (
            Reinforce(
                entropy_weight=config.attention.entropy, reward_weight=config.attention.reward
            )
            if hard
            else None
        )

    # --- the source

    def begin(self, source: Tensor, positions: Tensor) -> RecurrentState:
        """Read the source [B,S]; the decoder's first state is tanh(W s + b) of its last, s."""
        x = self.dropout(self.source_embedding(source))
        memory, summary = self.encoder(x, positions)
        parts = torch.tanh(self.bridge(summary)).split(self.config.d_model, dim=-1)
        each = PARTS[self.config.cell]
        return RecurrentState(
            cells=tuple(parts[i : i + each] for i in range(0, len(parts), each)),
            fed=summary.new_zeros(len(summary), self.config.embedding),
            next_positions=positions.new_zeros(len(summary)),
            source=None if self.attention is None else self.attention.remember(memory, positions),
            summary=summary,
        )

    # --- the target

    def forward(
        self, source: Tensor, source_positions: Tensor, target: Tensor, target_positions: Tensor
    ) -> Tensor | Taught:
        """Teacher-forced: h~ [B,T,E], which `head` turns into next tokens' logits.

        Hard attention in training adds its own loss: see `Taught`.
        """
        state = self.begin(source, source_positions)
        x = self.dropout(self.target_embedding(target))
        teaching = self._teaching(x)
        go = self._one_by_one if self.in_steps else self._all_at_once
        hidden, _, draws = go(x, state, target_positions, teaching)
        if self.reinforce is None or not draws:
            return hidden
        return Taught(hidden, self._own_loss(draws, teaching, target_positions != EMPTY))

    def step(
        self, tokens: Tensor, state: RecurrentState, positions: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Logits [R,T,V] of what follows each of tokens [R,T], and the state after them.

        positions [R,T] default to the next ones; -1 marks empty slots (a padded prompt's).
        """
        x = self.target_embedding(tokens)
        if positions is None:
            counts = torch.arange(tokens.shape[1], device=tokens.device)
            positions = state.next_positions[:, None] + counts
            teaching = self._teaching(x)
            go = self._one_by_one if self.in_steps else self._all_at_once
            hidden, after, _ = go(x, state, positions, teaching)
            return self.head(hidden), after
        parts = []
        for one, place in zip(x.split(1, dim=1), positions.split(1, dim=1), strict=True):
            hidden, after, _ = self._one_by_one(one, state, place, self._teaching(one))
            state = after.where(place[:, 0] != EMPTY, state)
            parts.append(hidden)
        return self.head(torch.cat(parts, dim=1)), state

    def _all_at_once(
        self, x: Tensor, state: RecurrentState, positions: Tensor, teaching: _Teaching
    ) -> tuple[Tensor, RecurrentState, list[Draw]]:
        """Steps that do not wait for each other's h~: the layers first, then all the attention."""
        draws: list[Draw] = []
        inputs, context = x, None
        if self.attention is None:
            context = _spread(state.summary, len(x))[:, None].expand(-1, x.shape[1], -1)
            inputs = torch.cat([x, context], dim=-1)
        top, cells = self.decoder(inputs, state.cells)
        if context is None:
            context = self._attend(top, state, positions, teaching, draws)
        hidden = self._combined(context, top, teaching.output)
        return hidden, replace(state, cells=cells, next_positions=positions.amax(dim=1) + 1), draws

    def _one_by_one(
        self, x: Tensor, state: RecurrentState, positions: Tensor, teaching: _Teaching
    ) -> tuple[Tensor, RecurrentState, list[Draw]]:
        """Steps that read what the one before made."""
        draws: list[Draw] = []
        fixed = _spread(state.summary, len(x)) if self.attention is None else None
        cells, fed, hidden = state.cells, state.fed, []
        for t in range(x.shape[1]):
            place, context = positions[:, t : t + 1], fixed
            if self.asks_before:
                context = self._attend(cells[-1][0][:, None], state, place, teaching, draws)[:, 0]
            inputs = [x[:, t]]
            inputs += [fed] if self.feeds else []
            inputs += [context] if context is not None else []
            between = [factors[:, t] for factors in teaching.between]
            top, cells = self.decoder.step(torch.cat(inputs, dim=-1), cells, between)
            if context is None:
                context = self._attend(top[:, None], state, place, teaching, draws)[:, 0]
            factors = None if teaching.output is None else teaching.output[:, t]
            fed = self._combined(context, top, factors)
            hidden.append(fed)
        after = replace(state, cells=cells, fed=fed, next_positions=positions.amax(dim=1) + 1)
        return torch.stack(hidden, dim=1), after, draws

    def _attend(
        self,
        q: Tensor,
        state: RecurrentState,
        positions: Tensor,
        teaching: _Teaching,
        draws: list[Draw],
    ) -> Tensor:
        """Contexts [R,T,D] of queries [R,T,D]; what was drawn goes into `draws`."""
        assert self.attention is not None
        assert state.source is not None
        context, drawn = self.attention(q, state.source, positions, teaching.mean)
        if drawn is not None:
            draws.append(drawn)
        return context

    def _combined(self, context: Tensor, top: Tensor, factors: Tensor | None) -> Tensor:
        """h~ = tanh(W [c; h]), with dropout."""
        hidden = torch.tanh(self.combine(torch.cat([context, top], dim=-1)))
        return hidden if factors is None else hidden * factors

    # --- training

    def _teaching(self, x: Tensor) -> _Teaching:
        rows, steps, _ = x.shape
        mean = None
        if self.training and self.reinforce is not None:
            mean = torch.rand(rows, device=x.device) < self.config.attention.expected
        return _Teaching(
            between=self.decoder.between(x, steps) if self.in_steps else [],
            output=self.dropout.factors(x, rows, steps, self.config.embedding),
            mean=mean,
        )

    def _own_loss(self, draws: list[Draw], teaching: _Teaching, real: Tensor) -> Any:
        chosen, entropy = (
            torch.cat(parts, dim=-1)[:, 0].float()
            for parts in ([d.log_probability for d in draws], [d.entropy for d in draws])
        )
        assert teaching.mean is not None
        real = real & ~teaching.mean[:, None]  # the others chose nothing
        reinforce, lasting = self.reinforce, self.in_steps
        return lambda log_p: reinforce(log_p, chosen, entropy, real, lasting=lasting)  # type: ignore[misc]


def _spread(summary: Tensor, rows: int) -> Tensor:
    """summary [B,D] for rows that are n per sentence: [rows,D]."""
    return summary.repeat_interleave(rows // len(summary), dim=0)


def _linear(inputs: int, outputs: int, *, bias: bool) -> nn.Linear:
    linear = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(linear.weight)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear


def _decoder_inputs(config: Config) -> int:
    fed = config.embedding if config.input_feeding else 0
    context = config.d_model if config.attention.score in ("none", "additive") else 0
    return config.embedding + fed + context


def _attention(config: Config) -> SourceAttention | None:
    choice, width = config.attention, config.d_model
    if choice.score == "none":
        return None
    scores: dict[str, Any] = {
        "dot": Dot,
        "general": lambda: General(width, width),
        "concat": lambda: Additive(width, width, choice.width or width),
        "additive": lambda: Additive(width, width, choice.width or width),
    }
    score: Score = scores[choice.score]()
    return SourceAttention(
        score=score,
        width=width,
        scope=choice.scope,
        window=choice.window,
        hard=choice.weights == "hard",
        name="decoder.0.cross",
    )


def build(config: Config, *, source_vocab: int, target_vocab: int, shared: bool) -> RNNSeq2Seq:
    """The model of a recipe; `shared`: one vocabulary, and one embedding, for both languages."""
    return RNNSeq2Seq(config, source_vocab=source_vocab, target_vocab=target_vocab, shared=shared)


def parameter_count(config: Config, *, source_vocab: int, target_vocab: int, shared: bool) -> int:
    """Parameters by formula: a second derivation of what is built."""
    d, e, n = config.d_model, config.embedding, config.num_layers
    directions = 2 if config.bidirectional else 1
    widths = [e] + [d] * (n - 1)
    encoder = sum(directions * recurrent_count(config.cell, w, d // directions) for w in widths)
    widths[0] = _decoder_inputs(config)
    decoder = sum(recurrent_count(config.cell, w, d) for w in widths)
    bridge = (d + 1) * n * PARTS[config.cell] * d
    choice = config.attention
    inner = choice.width or d
    score = {"general": d * d, "concat": inner * (2 * d + 1), "additive": inner * (2 * d + 1)}
    centre = d * d + d if choice.scope == "local-p" else 0
    embeddings = (target_vocab + (0 if shared else source_vocab)) * e
    combine = 2 * d * e
    return embeddings + encoder + decoder + bridge + score.get(choice.score, 0) + centre + combine
