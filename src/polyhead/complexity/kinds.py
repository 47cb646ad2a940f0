"""The layers of Table 1 of Vaswani et al. 2017, and what the table says of them.

All look back only, as a decoder's do, so that they do the same work: x [B,T,E] -> [B,T,E].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.attention.biases import Relative
from polyhead.attention.masks import Allowed, Local
from polyhead.attention.multihead import SelfAttention
from polyhead.layers.convolution import WeightNormed, gated_convolution
from polyhead.layers.recurrent import WEIGHTS, recurrent


@dataclass(frozen=True)
class Sizes:
    """How large the layers are; `local` is the width of a block, which sees the one before it.

    Narrow, so that what grows with the square of the length is seen early beside what is linear.
    """

    d_model: int = 128
    num_heads: int = 2
    kernel: int = 3
    local: int = 64


class Layer(nn.Module, ABC):
    """A layer, and what it reaches in some rounds, in each of which all positions work at once."""

    @abstractmethod
    def rounds(self, x: Tensor) -> Iterator[Tensor]:
        """The outputs [B,T,E] after one round, two rounds, and so on without end."""


class Recurrent(Layer):
    """An LSTM: in a round every position's cell takes its neighbour's state of the round before."""

    def __init__(self, sizes: Sizes, length: int):
        super().__init__()
        self.lstm = recurrent("lstm", sizes.d_model, sizes.d_model)

    def forward(self, x: Tensor) -> Tensor:
        read: Tensor = self.lstm(x)[0]
        return read

    def rounds(self, x: Tensor) -> Iterator[Tensor]:
        weights = [self.lstm.get_parameter(f"{name}_l0") for name in WEIGHTS]
        h = c = torch.zeros_like(x)
        while True:
            before = [F.pad(part, (0, 0, 1, 0))[:, :-1].flatten(0, 1) for part in (h, c)]
            h, c = (part.view_as(x) for part in torch.lstm_cell(x.flatten(0, 1), before, *weights))
            yield h


class Convolutional(Layer):
    """A gated convolution over the last positions (Gehring et al. 2017)."""

    def __init__(self, sizes: Sizes, length: int):
        super().__init__()
        self.kernel = sizes.kernel
        self.weights = WeightNormed(sizes.kernel * sizes.d_model, 2 * sizes.d_model, gain=4.0)

    def forward(self, x: Tensor) -> Tensor:
        return gated_convolution(F.pad(x, (0, 0, self.kernel - 1, 0)), self.weights(), self.kernel)

    def rounds(self, x: Tensor) -> Iterator[Tensor]:
        return _stacked(self, x)


class Attention(Layer):
    """Multi-head self-attention: of all that came before, or local, or relative."""

    def __init__(self, sizes: Sizes, length: int, *, local: bool = False, relative: bool = False):
        super().__init__()
        heads, width = sizes.num_heads, sizes.d_model // sizes.num_heads
        self.within = Local(sizes.local, sizes.local) if local else None
        bias = Relative(heads, width, length) if relative else None
        self.attention = SelfAttention(sizes.d_model, heads, relative=bias)

    def forward(self, x: Tensor) -> Tensor:
        allowed = Allowed.from_the_start(x.shape[1], x.device, self.within)
        values: Tensor = self.attention(x, allowed)
        return values

    def rounds(self, x: Tensor) -> Iterator[Tensor]:
        return _stacked(self, x)


def _stacked(layer: Layer, x: Tensor) -> Iterator[Tensor]:
    """One round is one layer; more rounds are layers on top."""
    while True:
        x = layer(x)
        yield x


@dataclass(frozen=True)
class Kind:
    """A kind of layer: how to build it for a length, and its columns of Table 1 by formula.

    The longest path is counted in what a signal passes on its way from the first position to the
    last: cells of a recurrent layer, layers of a stack of the others.
    """

    name: str
    build: Callable[[Sizes, int], Layer]
    sequential_operations: Callable[[Sizes, int], int]
    max_path_length: Callable[[Sizes, int], int]


def _one(sizes: Sizes, length: int) -> int:
    return 1


def _length(sizes: Sizes, length: int) -> int:
    return length


def _convolutions(sizes: Sizes, length: int) -> int:
    """Each looks kernel - 1 positions back."""
    return max(1, -(-(length - 1) // (sizes.kernel - 1)))


def _blocks(sizes: Sizes, length: int) -> int:
    """The first layer reaches to the start of the block before, and so do all further ones."""
    return max(1, (length - 1) // sizes.local)


KINDS = (
    Kind("recurrent", Recurrent, _length, _length),
    Kind("convolutional", Convolutional, _one, _convolutions),
    Kind("self_attention", Attention, _one, _one),
    Kind("local_self_attention", lambda s, n: Attention(s, n, local=True), _one, _blocks),
    Kind("relative_self_attention", lambda s, n: Attention(s, n, relative=True), _one, _one),
)
