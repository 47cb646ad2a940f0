"""BERT: an encoder that sees both sides of every token, trained to fill in what was masked.

"BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding" (Devlin et al.
2019): post-norm blocks with GELU; learned positions, which begin as sinusoids; an embedding of
which of two texts a token belongs to; a norm after their sum; and, to predict masked tokens, a
layer of its own before the output, which shares the embedding's weight (appendix A;
google-research/bert).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from polyhead.attention.masks import Allowed
from polyhead.attention.packing import Packing
from polyhead.config import Family, ModelSection
from polyhead.layers import initialisation
from polyhead.layers.block import EncoderBlock
from polyhead.layers.dropout import Dropout
from polyhead.layers.embeddings import OutputHead, TokenEmbedding
from polyhead.layers.positions import Positions

TEXTS = 2  # kinds of token: of the first text, of the second
Purpose = Literal["masked", "pretraining", "sequence", "tokens"]
"""What its heads are for: masked tokens, those and next sentences, or answers about a whole row or
about each of its tokens."""

PRESETS: dict[str, dict[str, Any]] = {
    "char": {"d_model": 256, "num_layers": 4, "num_heads": 8, "d_ff": 1024, "max_length": 256},
    "base": {"d_model": 768, "num_layers": 12, "num_heads": 12, "d_ff": 3072, "max_length": 512},
    "large": {"d_model": 1024, "num_layers": 24, "num_heads": 16, "d_ff": 4096, "max_length": 512},
}


class Config(ModelSection):
    """The `model:` section of a recipe; a preset's values stand where a key is not given."""

    family: ClassVar[Family] = "encoder"
    presets: ClassVar = PRESETS
    kind: Literal["bert"] = Field("bert", description="this model")
    preset: Literal["char", "base", "large"] | None = Field(
        None, description="fills in the keys below that you do not give"
    )
    d_model: int = Field(768, ge=2, description="width of every vector")
    num_layers: int = Field(12, ge=1, description="blocks")
    num_heads: int = Field(12, ge=1, description="attention heads; must divide `d_model`")
    d_ff: int = Field(3072, ge=1, description="width inside the feed-forward layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of elements dropped in training")
    norm_eps: float = Field(1e-12, gt=0, description="added to the variance in layer norms")
    max_length: int = Field(512, ge=4, description="longest sequence, in tokens")

    @model_validator(mode="after")
    def _heads_divide(self) -> Config:
        if self.from_ is None and self.d_model % self.num_heads:
            raise ValueError(
                f"d_model {self.d_model} is not divisible by num_heads {self.num_heads}"
            )
        return self


class MaskedHead(nn.Module):
    """Logits of what stood at masked places: norm(gelu(h W + b)) E' + c, E the embedding."""

    def __init__(self, weight: nn.Parameter, norm_eps: float):
        super().__init__()
        vocabulary, width = weight.shape
        self.transform = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, norm_eps)
        self.output = OutputHead(weight)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, hidden: Tensor) -> Tensor:
        """[N,E] -> [N,V]."""
        logits: Tensor = self.output(self.norm(F.gelu(self.transform(hidden))))
        return logits + self.bias


class Pooler(nn.Module):
    """A whole row as one vector: tanh(h_0 W + b) of its first token's hidden state."""

    def __init__(self, width: int):
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """[B,T,E] -> [B,E]."""
        return torch.tanh(self.dense(hidden[:, 0]))


class NextSentenceHead(nn.Module):
    """Logits of (what follows, another text) for the second of two texts, in BERT's own order."""

    def __init__(self, width: int):
        super().__init__()
        self.pooler = Pooler(width)
        self.output = nn.Linear(width, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        """[B,T,E] -> [B,2]."""
        logits: Tensor = self.output(self.pooler(hidden))
        return logits


class AnswerHead(nn.Module):
    """Numbers about a whole row, of its pooled vector, or about each token (section 4)."""

    def __init__(self, width: int, outputs: int, *, per_token: bool, dropout: float):
        super().__init__()
        self.pooler = nn.Identity() if per_token else Pooler(width)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(width, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """[B,T,E] -> [B,outputs], or [B,T,outputs] per token."""
        answers: Tensor = self.output(self.dropout(self.pooler(hidden)))
        return answers


class BERT(nn.Module):
    """Encoder over token ids [B,T]."""

    def __init__(
        self, config: Config, *, vocab_size: int, purpose: Purpose = "masked", outputs: int = 0
    ):
        super().__init__()
        self.config = config
        width = config.d_model
        self.embedding = TokenEmbedding(vocab_size, width, scaled=False)
        self.positions = Positions("learned", width, config.max_length)
        self.texts = nn.Embedding(TEXTS, width)
        self.embedding_norm = nn.LayerNorm(width, config.norm_eps)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            EncoderBlock(
                d_model=width,
                d_ff=config.d_ff,
                dropout=config.dropout,
                norm="post",
                num_heads=config.num_heads,
                activation="gelu",
                norm_eps=config.norm_eps,
                name=f"encoder.{i}",
            )
            for i in range(config.num_layers)
        )
        answering = purpose in ("sequence", "tokens")
        self.head = None if answering else MaskedHead(self.embedding.weight, config.norm_eps)
        self.next_sentence = NextSentenceHead(width) if purpose == "pretraining" else None
        per_token = purpose == "tokens"
        self.answers = (
            AnswerHead(width, outputs, per_token=per_token, dropout=config.dropout)
            if answering
            else None
        )
        initialisation.normal(self)
        initialisation.waves(self.positions)

    def forward(
        self, tokens: Tensor, positions: Tensor | None = None, texts: Tensor | None = None
    ) -> Tensor:
        """Hidden states [B,T,E]; `head` turns those of masked places into logits.

        positions [B,T] default to 0 … T-1 in every row; -1 marks empty slots. texts [B,T] are 0 in
        the first of two texts, 1 in the second (default: all 0).
        """
        packing = None
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
            allowed = Allowed.whole(positions, positions)
        else:
            allowed = Allowed.keys(positions)
            packing = Packing.of(positions)
        x = self.positions(self.embedding(tokens), positions)
        x = x + (self.texts.weight[0] if texts is None else self.texts(texts))
        x = self.embedding_norm(x if packing is None else packing.pack(x))
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, allowed, packing)
        return x if packing is None else packing.spread(x)

    def answer(self, hidden: Tensor, positions: Tensor | None = None) -> Tensor:
        """What `outputs` numbers it gives about rows, [B,outputs], or tokens, [B,T,outputs]."""
        answers: Tensor = self.answers(hidden)  # type: ignore[misc]
        return answers


def build(
    config: Config, *, vocab_size: int, purpose: Purpose = "masked", outputs: int = 0
) -> BERT:
    """The model of a recipe."""
    return BERT(config, vocab_size=vocab_size, purpose=purpose, outputs=outputs)


def parameter_count(
    config: Config, *, vocab_size: int, purpose: Purpose = "masked", outputs: int = 0
) -> int:
    """Parameters by formula: a second derivation of what is built."""
    d = config.d_model
    masked, pooler = d * d + 3 * d + vocab_size, d * d + d
    heads = {
        "masked": masked,
        "pretraining": masked + pooler + 2 * d + 2,
        "sequence": pooler + (d + 1) * outputs,
        "tokens": (d + 1) * outputs,
    }
    return encoder_parameter_count(config, vocab_size=vocab_size) + heads[purpose]


def encoder_parameter_count(config: Config, *, vocab_size: int) -> int:
    """Parameters without the head for masked tokens."""
    d, ff = config.d_model, config.d_ff
    embeddings = (vocab_size + config.max_length + TEXTS) * d + 2 * d
    block = 4 * (d * d + d) + 2 * d * ff + d + ff + 2 * (2 * d)
    return embeddings + config.num_layers * block
