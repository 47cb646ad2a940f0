"""One decoding step of all layers in one go: what the blocks compute, without hops between modules.

At batch 1 a step is a race of small operations; Python, and not arithmetic, decides it. These
modules hold the blocks' own layers and are written in the part of Python that `torch.jit.script`
takes, so that a step is one call into torch: no compiler is needed, nothing is generated. Each is
tested equal to its block; the blocks remain the definition.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.attention.multihead import CrossAttention, SelfAttention
from polyhead.layers.block import DecoderBlock, Residual
from polyhead.layers.embeddings import OutputHead, TokenEmbedding
from polyhead.layers.feedforward import FeedForward
from polyhead.layers.positions import Positions

Swift = Callable[..., Tensor]
"""`SwiftDecoder.forward`."""

WORTH_SCRIPTING = 128
"""Steps after which a decoding is long enough to script its step."""


class Quick(ABC):
    """A model whose decoding steps can be taken faster, with the same results."""

    @abstractmethod
    def quicken(self) -> None:
        """Decode faster from now on: weights may no more be replaced, nor gradients asked for."""


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float, bias: Tensor) -> Tensor:
    """values [B,n,H*D] of q [B,H,n,D], k, v [B,H,K,D]; bias [B or 1,1,n or 1,K]."""
    rows, heads, queries = q.size(0), q.size(1), q.size(2)
    # a factor of the product costs nothing, a number times a tensor two small operations
    logits = torch.baddbmm(
        bias.expand(rows, heads, queries, bias.size(3)).flatten(0, 1),
        q.reshape(rows * heads, queries, -1),
        k.flatten(0, 1).transpose(1, 2),
        alpha=scale,
    )
    values = torch.bmm(torch.softmax(logits, -1), v.flatten(0, 1))
    return values.view(rows, heads, queries, -1).transpose(1, 2).flatten(2)


class _Sublayer(nn.Module):
    """A residual connection and its norm, without dropout: see `Residual`."""

    def __init__(self, residual: Residual):
        super().__init__()
        self.norm, self.pre = residual.norm, residual.pre

    def before(self, x: Tensor) -> Tensor:
        return self.norm(x) if self.pre else x

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        y = y.add_(x)
        return y if self.pre else self.norm(y)


class SwiftSelf(nn.Module):
    """`SelfAttention` of one new token a row, inside its residual connection."""

    def __init__(self, attention: SelfAttention, residual: Residual):
        super().__init__()
        self.query_key_value, self.output = attention.query_key_value, attention.output
        self.scale, self.around = attention.scale, _Sublayer(residual)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, length: int, bias: Tensor) -> Tensor:
        """x [B*n,E]; buffers [B,H,C,D], in which n slots after `length` are written; -> [B*n,E].

        As many slots are read as the bias has keys; it bars the empty ones.
        """
        sentences, heads, width = keys.size(0), keys.size(1), keys.size(3)
        parts = self.query_key_value(self.around.before(x)).view(sentences, -1, 3, heads, width)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        new = k.size(2)
        keys.narrow(2, length, new).copy_(k)
        values.narrow(2, length, new).copy_(v)
        k, v = keys.narrow(2, 0, bias.size(3)), values.narrow(2, 0, bias.size(3))
        y = attend(q, k, v, self.scale, bias)
        return self.around.after(x, self.output(y.view(x.size(0), x.size(1))))


class SwiftCross(nn.Module):
    """`CrossAttention`, inside its residual connection."""

    def __init__(self, attention: CrossAttention, residual: Residual):
        super().__init__()
        self.query, self.output = attention.query, attention.output
        self.scale, self.around = attention.scale, _Sublayer(residual)

    def forward(
        self, x: Tensor, memory: list[tuple[Tensor, Tensor]], biases: list[Tensor]
    ) -> Tensor:
        """x [B*n,E], keys and values [b,H,K,D] of neighbouring sentences -> [B*n,E]."""
        heads, width, sentences, start = memory[0][0].size(1), memory[0][0].size(3), 0, 0
        for keys, _ in memory:
            sentences += keys.size(0)
        q = self.query(self.around.before(x)).view(sentences, -1, heads, width).transpose(1, 2)
        parts: list[Tensor] = []
        for i, (keys, values) in enumerate(memory):
            own = q.narrow(0, start, keys.size(0))
            parts.append(attend(own, keys, values, self.scale, biases[i]))
            start += keys.size(0)
        y = parts[0] if len(parts) == 1 else torch.cat(parts)
        return self.around.after(x, self.output(y.view(x.size(0), x.size(1))))


class SwiftFeedForward(nn.Module):
    """`FeedForward`, inside its residual connection."""

    def __init__(self, feedforward: FeedForward, residual: Residual):
        super().__init__()
        self.inner, self.outer = feedforward.inner, feedforward.outer
        self.activation = feedforward.activation
        self.around = _Sublayer(residual)

    def forward(self, x: Tensor) -> Tensor:
        return self.around.after(x, self.outer(self.activation(self.inner(self.around.before(x)))))


class SwiftBlock(nn.Module):
    """`DecoderBlock`."""

    def __init__(self, block: DecoderBlock):
        super().__init__()
        self.attention = SwiftSelf(block.attention, block.attention_residual)
        self.cross = SwiftCross(block.cross, block.cross_residual)
        self.feedforward = SwiftFeedForward(block.feedforward, block.feedforward_residual)

    def forward(
        self,
        x: Tensor,
        cache: tuple[Tensor, Tensor],
        memory: list[tuple[Tensor, Tensor]],
        length: int,
        bias: Tensor,
        memory_biases: list[Tensor],
    ) -> Tensor:
        x = self.attention(x, cache[0], cache[1], length, bias)
        x = self.cross(x, memory, memory_biases)
        return self.feedforward(x)


class SwiftInput(nn.Module):
    """A token's scaled embedding and its position's vector, in one addition."""

    def __init__(self, embedding: TokenEmbedding, positions: Positions):
        super().__init__()
        self.weight, self.scale = embedding.weight, embedding.scale
        self.positioned = positions.kind != "none"
        self.table = positions.table if self.positioned else embedding.weight[:0]

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """tokens [R], positions [R] or [1] -> [R,E]."""
        x = F.embedding(tokens, self.weight)
        if self.positioned:
            return torch.add(F.embedding(positions, self.table), x, alpha=self.scale)
        return x * self.scale


class SwiftDecoder(nn.Module):
    """A decoder of blocks: tokens in, logits out."""

    def __init__(
        self,
        *,
        embedding: TokenEmbedding,
        positions: Positions,
        blocks: Iterable[DecoderBlock],
        norm: nn.Module,
        head: OutputHead,
    ):
        super().__init__()
        self.input = SwiftInput(embedding, positions)
        self.blocks = nn.ModuleList(SwiftBlock(block) for block in blocks)
        self.norm, self.head = norm, head

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        caches: list[tuple[Tensor, Tensor]],
        memories: list[list[tuple[Tensor, Tensor]]],
        length: int,
        slots: int,
        past: Tensor | None,
        memory_biases: list[Tensor],
    ) -> Tensor:
        """Logits [R,V] after one token [R] a row at positions [R] or [1].

        caches: per layer keys and values [B,H,C,D], `length` slots filled and room for one slot a
        row, which is written; so many `slots` are read, whole vectors of them. past [R,filled]:
        True where a row sees a slot; None: it sees all that are filled. memories: per layer those
        of neighbouring sentences; memory_biases: one for each of these.
        """
        keys = caches[0][0]
        rows, each = (1, 1) if past is None else (keys.size(0), tokens.size(0) // keys.size(0))
        shape = (rows, 1, each, slots)
        bias = torch.full(shape, float("-inf"), dtype=keys.dtype, device=keys.device)
        if past is None:
            bias.narrow(3, 0, length + tokens.size(0) // keys.size(0)).zero_()
        else:
            filled = past.size(1)
            bias.narrow(3, 0, filled).masked_fill_(past.view(rows, 1, each, filled), 0.0)
        x = self.input(tokens, positions)
        for i, block in enumerate(self.blocks):
            x = block(x, caches[i], memories[i], length, bias, memory_biases)
        logits: Tensor = self.head(self.norm(x))
        return logits


def scripted(decoder: SwiftDecoder) -> Swift:
    """The decoder's step: the same operations, after a while without Python between them.

    Scripting takes as long as some hundred steps gain by it; a line or two go sooner without.
    """
    run: Swift = decoder.eval()
    taken = 0

    @torch.no_grad()
    def step(*inputs: object) -> Tensor:
        nonlocal run, taken
        taken += 1
        if taken == WORTH_SCRIPTING:
            run = _script(decoder)
        return run(*inputs)

    return step


def _script(decoder: SwiftDecoder) -> Swift:
    with warnings.catch_warnings():
        # torch asks for torch.compile instead, which needs a C++ compiler on the user's machine.
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.freeze(torch.jit.script(decoder), optimize_numerics=False)

    def step(*inputs: object) -> Tensor:
        # As written: torch would otherwise rewrite the step for every new shape, in 0.1 seconds.
        with torch.jit.optimized_execution(False):
            logits: Tensor = script(*inputs)
        return logits

    return step
