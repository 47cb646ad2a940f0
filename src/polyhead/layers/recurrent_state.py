"""What a recurrent decoder remembers between steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from polyhead.attention.source import Source
from polyhead.attention.state import same_rows
from polyhead.layers.recurrent import CellState


@dataclass(frozen=True)
class RecurrentState:
    """What a decoding needs to go on; R rows are n per source sentence, one after another.

    cells: each layer's, [R,D]; fed [R,E]: the last h~; next_positions [R]; source and summary
    [B,D]: what the encoder left, its outputs as attention sees them and its last state.
    """

    cells: tuple[CellState, ...]
    fed: Tensor
    next_positions: Tensor
    source: Source | None
    summary: Tensor

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> RecurrentState:
        """The state of these rows (repeats allowed), and of these sentences (default: all)."""
        state = self
        if not same_rows(rows, len(self.fed)):
            state = replace(
                state,
                cells=tuple(tuple(p.index_select(0, rows) for p in cell) for cell in self.cells),
                fed=self.fed.index_select(0, rows),
                next_positions=self.next_positions.index_select(0, rows),
            )
        if sentences is not None and not same_rows(sentences, len(self.summary)):
            state = replace(
                state,
                source=None if self.source is None else self.source.select(sentences),
                summary=self.summary.index_select(0, sentences),
            )
        return state

    def where(self, moved: Tensor, other: RecurrentState) -> RecurrentState:
        """This state where `moved` (bool [R]), the other's elsewhere; the source stays."""
        chosen = moved[:, None]
        cells = tuple(
            tuple(torch.where(chosen, a, b) for a, b in zip(mine, theirs, strict=True))
            for mine, theirs in zip(self.cells, other.cells, strict=True)
        )
        return replace(
            self,
            cells=cells,
            fed=torch.where(chosen, self.fed, other.fed),
            next_positions=torch.where(moved, self.next_positions, other.next_positions),
        )
