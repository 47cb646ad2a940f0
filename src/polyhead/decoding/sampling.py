"""Drawing the next token at random, from all of the distribution or its most probable part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyhead.errors import UsageError

COLDEST, HOTTEST = 0.001, 1000.0  # colder is greedy, hotter is even, and logits overflow


def check_seed(seed: int) -> None:
    """Raise UsageError for a number that nothing can be drawn by."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed {seed} is not between 0 and 2^63")


class Sampler:
    """Draws tokens [R] from log-probabilities [R,V], the same for the same seed, key and length.

    temperature divides the logits; top_k keeps the k most probable tokens; top_p keeps the fewest
    whose probabilities add up to p (nucleus sampling, Holtzman et al. 2020); min_p those at least
    min_p times as probable as the most probable one (Nguyen et al. 2024). A row's draws depend
    on nothing but its own key: not on the rows beside it, nor on how many there were before.
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        seed: int = 1,
    ):
        if not COLDEST <= temperature <= HOTTEST:
            raise UsageError(
                f"temperature {temperature} is not between {COLDEST:g} and {HOTTEST:g}"
                + ("; greedy search takes the most probable token" if temperature <= 0 else "")
            )
        if top_k is not None and top_k < 1:
            raise UsageError(f"top-k {top_k} is not at least 1")
        if top_p is not None and not 0 < top_p <= 1:
            raise UsageError(f"top-p {top_p} is not between 0 and 1")
        if min_p is not None and not 0 <= min_p <= 1:
            raise UsageError(f"min-p {min_p} is not between 0 and 1")
        check_seed(seed)
        self.temperature, self.top_k, self.top_p, self.seed = temperature, top_k, top_p, seed
        self.min_p = min_p
        self.seen: Counter[bytes] = Counter()  # sources so far: one that comes again draws anew

    def keys(self, sources: Sequence[Sequence[int] | NDArray[np.int32]], copies: int = 1) -> Tensor:
        """The key of each copy of each source [N,copies]: of its tokens and how often it came."""
        found = torch.empty(len(sources), copies, dtype=torch.int64)
        for row, source in enumerate(sources):
            name = blake2b(np.asarray(source, "<i4").tobytes(), digest_size=16).digest()
            self.seen[name] += 1
            for copy in range(copies):
                whole = name + self.seen[name].to_bytes(8, "little") + copy.to_bytes(8, "little")
                digest = blake2b(whole, digest_size=8).digest()
                found[row, copy] = int.from_bytes(digest, "little", signed=True)
        return found

    def __call__(self, log_p: Tensor, keys: Tensor, length: int) -> Tensor:
        """The tokens of rows [R,V] with these keys [R], which are the length-th of their outputs.

        The largest log-probability after adding Gumbel noise is a draw from the distribution.
        """
        logits = log_p / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k, dim=-1).values[:, -1:]
            logits = logits.masked_fill(logits < least, float("-inf"))
        if self.top_p is not None and self.top_p < 1:
            ordered, order = logits.sort(dim=-1, descending=True)
            p = torch.softmax(ordered, dim=-1)
            beyond = p.cumsum(dim=-1) - p >= self.top_p  # the most probable one always stays
            logits = logits.masked_fill(beyond.scatter(1, order, beyond), float("-inf"))
        if self.min_p:
            least = logits.amax(dim=-1, keepdim=True) + math.log(self.min_p)
            logits = logits.masked_fill(logits < least, float("-inf"))
        streams = _mixed(_mixed(keys + _signed(self.seed * _GOLDEN)) + _signed(length * _GOLDEN))
        return (logits + gumbel(streams, logits.shape[-1])).argmax(dim=-1)


_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: multiples of it are spread evenly


def _signed(number: int) -> int:
    """A number modulo 2^64 as torch's int64 holds it."""
    return (number + 2**63) % 2**64 - 2**63


def _mixed(x: Tensor) -> Tensor:
    """int64 to int64, every bit of the result depending on every bit: SplitMix64's finalizer.

    Steele, Lea and Flood 2014. torch shifts signs in; the masks take them away.
    """
    x = (x ^ (x >> 30 & 2**34 - 1)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> 27 & 2**37 - 1)) * _signed(0x94D049BB133111EB)
    return x ^ (x >> 31 & 2**33 - 1)


def gumbel(streams: Tensor, columns: int) -> Tensor:
    """Standard Gumbel noise -log(-log u) [R,columns], the same for the same stream [R] anywhere.

    u comes from hashing (stream, column) to 32 bits (the finalizer of MurmurHash3 with Wellons'
    constants): no generator, so no order in which rows would have to come.
    """
    first, second = (half.to(torch.int32)[:, None] for half in (streams, streams >> 32))
    x = torch.arange(columns, dtype=torch.int32, device=streams.device) * -0x61C88647
    x = x ^ first
    x.bitwise_xor_(x >> 16 & 0xFFFF).mul_(0x7FEB352D).add_(second)
    x.bitwise_xor_(x >> 15 & 0x1FFFF).mul_(-0x7B935975)
    x.bitwise_xor_(x >> 16 & 0xFFFF)
    u = (x & 2**23 - 1).float().add_(0.5).mul_(2**-23)  # in (0, 1), never 0 or 1
    return u.log_().neg_().log_().neg_()
