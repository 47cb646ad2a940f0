"""What a layer remembers between decoding steps: values passed in and out, never attributes.

A cache may be stepped once: `append` writes into the buffers it shares with the value it returns.
Selecting other sentences copies; a state kept for later is one whose sentences were selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.attention.masks import Allowed
from polyhead.attention.packing import Packing


def whole_vectors(keys: int, head_width: int) -> int:
    """Slots for so many keys that sums over them are the same to the bit with more empty ones.

    On a CPU these sums then go in whole vectors of 16, and no product has fewer than torch's 400
    multiplications, below which it is computed otherwise.
    """
    unit = max(16, 512 // head_width)
    return -(-keys // unit) * unit


@dataclass(frozen=True)
class KeyValueCache:
    """Keys and values of the tokens so far: buffers [B,H,C,D], the first `length` slots filled.

    The others are 0, and C is a number of `whole_vectors`.

    B counts sentences: several hypotheses of one share its slots, each step adding one slot a
    hypothesis. So a beam is reordered without moving a key. Which position each slot holds, and
    whose past it is, is the model state's to know; it is the same for all layers.
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
        """The cache with k, v [B,H,T,D] after its last slot."""
        longer = self.with_room(k.shape[2])
        longer.keys.narrow(2, self.length, k.shape[2]).copy_(k)
        longer.values.narrow(2, self.length, k.shape[2]).copy_(v)
        return longer

    def with_room(self, slots: int) -> KeyValueCache:
        """The cache with so many slots more, yet to be written; buffers double when full."""
        end = self.length + slots
        keys, values = self.keys, self.values
        if end > keys.shape[2]:
            room = whole_vectors(max(end, 2 * keys.shape[2]), keys.shape[3])
            keys, values = (self._grown(old, room) for old in (keys, values))
        return KeyValueCache(keys, values, end)

    def _grown(self, old: Tensor, room: int) -> Tensor:
        new = self._buffer(old, len(old), room)
        new.narrow(2, 0, self.length).copy_(old.narrow(2, 0, self.length))
        return new

    def _buffer(self, like: Tensor, rows: int, room: int) -> Tensor:
        """A buffer of `room` slots whose first `length` ones are yet to be written."""
        new = like.new_empty(rows, like.shape[1], room, like.shape[3])
        new.narrow(2, self.length, room - self.length).zero_()
        return new

    def filled(self) -> tuple[Tensor, Tensor]:
        """Keys and values [B,H,length,D]."""
        return self.keys.narrow(2, 0, self.length), self.values.narrow(2, 0, self.length)

    def select(self, rows: Tensor) -> KeyValueCache:
        """The cache of these rows, in this order, repeats allowed; only filled slots are copied."""
        buffers = []
        for old in (self.keys, self.values):
            new = self._buffer(old, len(rows), old.shape[2])
            filled = old.narrow(2, 0, self.length)
            torch.index_select(filled, 0, rows, out=new.narrow(2, 0, self.length))
            buffers.append(new)
        return KeyValueCache(buffers[0], buffers[1], self.length)


@dataclass(frozen=True)
class Encoded:
    """An encoder's output [B,K,E], or packed [N,E], and who of it may be seen."""

    output: Tensor
    allowed: Allowed
    packing: Packing | None = None


@dataclass(frozen=True)
class Memory:
    """An encoder's output projected once into keys and values [B,H,K,D], and who may be seen."""

    keys: Tensor
    values: Tensor
    allowed: Allowed

    def select(self, rows: Tensor, allowed: Allowed | None = None) -> Memory:
        """The memory of these rows, in this order, repeats allowed; `allowed` if it is known."""
        if allowed is None:
            allowed = Allowed.keys(self.allowed.k_positions.index_select(0, rows))
        keys, values = (x.index_select(0, rows) for x in (self.keys, self.values))
        return Memory(keys, values, allowed)

    def to(self, dtype: torch.dtype) -> Memory:
        return Memory(self.keys.to(dtype), self.values.to(dtype), self.allowed)

    def as_read(self, like: Tensor, allowed: Allowed) -> Memory:
        """The same, laid out as a decoding step's products read it, of the dtype of `like`.

        `allowed` tells of the same keys and the empty slots that are to follow them.
        """
        room = allowed.k_positions.shape[1] - self.keys.shape[2]
        parts = (F.pad(x.to(like.dtype), (0, 0, 0, room)) for x in (self.keys, self.values))
        keys, values = (x.contiguous() for x in parts)
        return Memory(keys, values, allowed)


def select_parts(
    parts: Sequence[Sequence[Memory]], sentences: Tensor
) -> tuple[tuple[Memory, ...], ...]:
    """The memories of these sentences, in this order: parts of neighbouring sentences, by layer.

    Neighbours of one part stay a part; the sentences of a part are counted from its first.
    """
    owners: list[int] = []  # of each sentence: its part, and where that starts
    starts: list[int] = []
    for number, part in enumerate(parts):
        starts += [len(owners)] * len(part[0].keys)
        owners += [number] * len(part[0].keys)
    found: list[tuple[int, list[int]]] = []
    for sentence in sentences.tolist():
        if not found or found[-1][0] != owners[sentence]:
            found.append((owners[sentence], []))
        found[-1][1].append(sentence - starts[sentence])
    selected = []
    for number, rows in found:
        first, *others = parts[number]
        index = torch.tensor(rows, device=sentences.device)
        memory = first.select(index)
        selected.append((memory, *(other.select(index, memory.allowed) for other in others)))
    return tuple(selected)


def same_rows(rows: Tensor, count: int) -> bool:
    """Whether selecting `rows` from `count` rows changes nothing."""
    return len(rows) == count and torch.equal(rows, torch.arange(count, device=rows.device))
