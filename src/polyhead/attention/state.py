"""What a layer remembers between decoding steps: values passed in and out, never attributes.

A cache may be stepped once: `append` writes into the buffers it shares with the value it returns.
`select` copies, so a state kept for later is one that was selected.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class KeyValueCache:
    """Keys and values of the tokens so far: buffers [B,H,C,D], the first `length` slots filled.

    Which position each slot holds is the model state's to know; it is the same for all layers.
    """

    keys: Tensor
    values: Tensor
    length: int = 0

    @classmethod
    def empty(cls, rows: int, heads: int, head_width: int, like: Tensor) -> KeyValueCache:
        """A cache without tokens, of the dtype and device of `like`."""
        buffer = like.new_empty(rows, heads, 0, head_width)
        return cls(buffer, buffer)

    def append(self, k: Tensor, v: Tensor) -> KeyValueCache:
        """The cache with k, v [B,H,T,D] after its last slot; buffers double when full."""
        end = self.length + k.shape[2]
        keys, values = self.keys, self.values
        if end > keys.shape[2]:
            room = max(end, 2 * keys.shape[2], 16)
            keys, values = (self._grown(old, room) for old in (keys, values))
        keys[:, :, self.length : end] = k
        values[:, :, self.length : end] = v
        return KeyValueCache(keys, values, end)

    def _grown(self, old: Tensor, room: int) -> Tensor:
        new = old.new_empty(*old.shape[:2], room, old.shape[3])
        new[:, :, : self.length] = old[:, :, : self.length]
        return new

    def filled(self) -> tuple[Tensor, Tensor]:
        """Keys and values [B,H,length,D]."""
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def select(self, rows: Tensor) -> KeyValueCache:
        """The cache of these rows, in this order, repeats allowed."""
        buffers = []
        for old in (self.keys, self.values):
            new = old.new_empty(len(rows), *old.shape[1:])
            filled = slice(0, self.length)
            new[:, :, filled] = old[:, :, filled].index_select(0, rows)
            buffers.append(new)
        return KeyValueCache(buffers[0], buffers[1], self.length)


@dataclass(frozen=True)
class Memory:
    """An encoder's output projected once into keys and values [B,H,K,D]."""

    keys: Tensor
    values: Tensor

    def select(self, rows: Tensor) -> Memory:
        """The memory of these rows, in this order, repeats allowed."""
        return Memory(self.keys.index_select(0, rows), self.values.index_select(0, rows))


def same_rows(rows: Tensor, count: int) -> bool:
    """Whether selecting `rows` from `count` rows changes nothing."""
    return len(rows) == count and bool((rows == torch.arange(count, device=rows.device)).all())
