"""Recurrent layers, over whole sequences by torch's kernels or one step at a time."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn

from polyhead.attention.masks import EMPTY
from polyhead.layers.dropout import SequenceDropout

CellKind = Literal["lstm", "gru"]
CellState = tuple[Tensor, ...]
"""What a layer knows between steps, each [B,D]: (h,) of a GRU, (h, c) of an LSTM."""
PARTS = {"lstm": 2, "gru": 1}
GATES = {"lstm": 4, "gru": 3}
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def recurrent(
    kind: CellKind, inputs: int, width: int, *, bidirectional: bool = False
) -> nn.RNNBase:
    """One layer: recurrent weights orthogonal gate by gate (Bahdanau et al. 2015, appendix B.1).

    Input weights are Xavier-uniform, biases 0 but an LSTM's forget gate, which starts open
    (Gers et al. 2000; Jozefowicz et al. 2015).
    """
    make = nn.LSTM if kind == "lstm" else nn.GRU
    layer = make(inputs, width, batch_first=True)
    for name, weight in layer.named_parameters():
        if "bias" in name:
            nn.init.zeros_(weight)
        for gate in weight.split(width) if "weight" in name else ():
            (nn.init.orthogonal_ if "hh" in name else nn.init.xavier_uniform_)(gate)
        if kind == "lstm" and "bias_ih" in name:
            nn.init.ones_(weight[width : 2 * width])
    return layer


def recurrent_count(kind: CellKind, inputs: int, width: int) -> int:
    """Parameters of one layer in one direction."""
    return GATES[kind] * width * (inputs + width + 2)


class RecurrentEncoder(nn.Module):
    """Layers that read a source, one way or both; what stands in padding is never read."""

    def __init__(
        self,
        kind: CellKind,
        *,
        inputs: int,
        width: int,
        num_layers: int,
        bidirectional: bool,
        backwards: bool,
        dropout: SequenceDropout,
    ):
        super().__init__()
        self.dropout = dropout
        # for each direction, whether it reads from the end
        self.turns = (backwards, not backwards) if bidirectional else (backwards,)
        each = width // len(self.turns)
        self.layers = nn.ModuleList(
            nn.ModuleList(recurrent(kind, width if i else inputs, each) for _ in self.turns)
            for i in range(num_layers)
        )

    def forward(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """x [B,S,E] right-padded -> (outputs [B,S,D], the last state of the last layer [B,D]).

        Outputs stand in the source's order, whichever way it was read. Rows read from their end
        are reversed within their length: torch's kernels are fastest on whole rectangles, and what
        comes after a row's last token is never looked at.
        """
        lengths = (positions != EMPTY).sum(dim=1)
        order = reversed_within(lengths, x.shape[1]) if any(self.turns) else None
        last = (lengths - 1)[:, None, None]
        summary: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            x = self.dropout(x) if i else x
            outputs, summary = [], []
            for turn, one in zip(self.turns, cast(nn.ModuleList, layer), strict=True):
                way = order if turn else None
                read, _ = one(turned(x, way))
                summary.append(read.gather(1, last.expand(-1, 1, read.shape[2]))[:, 0])
                outputs.append(turned(read, way))
            x = torch.cat(outputs, dim=-1)
        return x, torch.cat(summary, dim=-1)


def reversed_within(lengths: Tensor, width: int) -> Tensor:
    """For each place of right-padded rows [B,width], the place its row reversed takes it from."""
    places = torch.arange(width, device=lengths.device).expand(len(lengths), width)
    back = lengths[:, None] - 1 - places
    return torch.where(back >= 0, back, places)


def turned(x: Tensor, order: Tensor | None) -> Tensor:
    """x [B,S,E] in this order [B,S] of its places; None: as it is."""
    return x if order is None else x.gather(1, order[:, :, None].expand_as(x))


class RecurrentDecoder(nn.Module):
    """Layers that go forward only, over many steps at once or one."""

    def __init__(
        self,
        kind: CellKind,
        *,
        inputs: int,
        width: int,
        num_layers: int,
        dropout: SequenceDropout,
    ):
        super().__init__()
        self.kind = kind
        self.width = width
        self.dropout = dropout
        self.layers = nn.ModuleList(
            recurrent(kind, width if i else inputs, width) for i in range(num_layers)
        )

    def forward(
        self, x: Tensor, states: tuple[CellState, ...]
    ) -> tuple[Tensor, tuple[CellState, ...]]:
        """x [B,T,E] and every layer's state -> (outputs [B,T,D], states after the last step)."""
        if x.shape[1] == 1:
            between = self.between(x, 1)
            top, after = self.step(x[:, 0], states, [f[:, 0] for f in between])
            return top[:, None], after
        after_all: list[CellState] = []
        for i, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            first = tuple(part[None].contiguous() for part in state)
            given = first if self.kind == "lstm" else first[0]
            x, last = layer(self.dropout(x) if i else x, given)
            parts = last if isinstance(last, tuple) else (last,)
            after_all.append(tuple(part[0] for part in parts))
        return x, tuple(after_all)

    def between(self, like: Tensor, steps: int) -> list[Tensor]:
        """The dropout factors [B,steps,D] between layers; none where nothing is dropped."""
        drawn = [self.dropout.factors(like, len(like), steps, self.width) for _ in self.layers[1:]]
        return [factors for factors in drawn if factors is not None]

    def step(
        self, x: Tensor, states: tuple[CellState, ...], between: list[Tensor]
    ) -> tuple[Tensor, tuple[CellState, ...]]:
        """x [B,E] -> (output [B,D], states); between: factors [B,D] before each further layer."""
        after: list[CellState] = []
        for i, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            if i and between:
                x = x * between[i - 1]
            weights = [cast(Tensor, getattr(layer, f"{name}_l0")) for name in WEIGHTS]
            if self.kind == "lstm":
                after.append(torch.lstm_cell(x, state, *weights))
            else:
                after.append((torch.gru_cell(x, state[0], *weights),))
            x = after[-1][0]
        return x, tuple(after)
