"""Many sources through an encoder-decoder, in batches of similar length, put back in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polyhead import memory
from polyhead.attention.masks import positions_of
from polyhead.data.batching import by_length, device_of
from polyhead.data.examples import Ragged
from polyhead.data.tokenizers import END_ID, UNKNOWN_ID, Tokenizer
from polyhead.decoding.alternatives import alternatives
from polyhead.decoding.constraints import all_of, begin_with, no_repeat
from polyhead.decoding.ensemble import members_of
from polyhead.decoding.sampling import Sampler
from polyhead.decoding.search import Choose, Hypothesis, Vocabulary, beam_search, one_by_one
from polyhead.errors import UsageError


@dataclass(frozen=True)
class Options:
    """How to decode; `extra_length` tokens beyond the source's are allowed (the paper's 50)."""

    beam: int = 4
    alpha: float = 0.6
    max_length: int | None = None
    extra_length: int = 50
    sampler: Sampler | None = None
    prefix: tuple[int, ...] = ()
    no_repeat_ngram: int = 0
    batch_tokens: int = 4096
    copies: int = 1  # samples per source
    alternatives: int = 0  # other tokens at the first place after the prefix; 0: none are asked for

    @property
    def per_source(self) -> int:
        """Hypotheses decoded side by side for one source."""
        rows = self.beam if self.sampler is None else self.copies
        return rows * max(1, self.alternatives)


@torch.inference_mode()
def translate_ids(
    model: nn.Module,
    sources: Sequence[NDArray[np.int32]],
    target: Tokenizer,
    options: Options,
    progress: Callable[[int], None] = lambda done: None,
) -> list[list[Hypothesis]]:
    """The hypotheses, best first, of each source (ids that end with `</s>`), in input order.

    A source of `</s>` alone is empty and gets no hypothesis. `progress` hears sources done.
    """
    results: list[list[Hypothesis]] = [[] for _ in sources]
    filled = [i for i, source in enumerate(sources) if len(source) > 1]
    progress(len(sources) - len(filled))
    if not filled:
        return results
    ragged = Ragged([sources[i] for i in filled])  # type: ignore[misc]
    vocabulary = Vocabulary(target.pad_id, END_ID, (UNKNOWN_ID, target.pad_id))
    keys = None  # in the order of the input, whatever the order of the batches
    if options.sampler is not None:
        keys = options.sampler.keys([sources[i] for i in filled], options.copies)
    for indices in by_length(ragged.lengths, max(1, options.batch_tokens // options.per_source)):
        decode = partial(_decode, model, ragged, vocabulary, options, keys)
        with memory.told(partial(_too_large, ragged, indices, options, decode)):
            found = decode(indices)
        for index, hypotheses in zip(indices.tolist(), found, strict=True):
            results[filled[index]] = hypotheses
        progress(len(indices))
    return results


def _draw(sampler: Sampler, keys: Tensor, log_p: Tensor, rows: Tensor, length: int) -> Tensor:
    return sampler(log_p, keys.to(rows.device)[rows], length)


def longest_output(model: nn.Module) -> int | None:
    """The most tokens a model (the least able member of an ensemble) writes; None: any number."""
    limits = [
        getattr(getattr(one, "config", None), "max_length", None) for one in members_of(model)
    ]
    return min((limit for limit in limits if limit is not None), default=None)


def _too_large(
    sources: Ragged,
    indices: NDArray[np.int64],
    options: Options,
    decode: Callable[[NDArray[np.int64]], object],
) -> str:
    """What to say where a batch did not fit, with a size that was tried and does."""
    longest = int(sources.lengths[indices].max())
    said = (
        f"decoding {len(indices)} sentences of up to {longest} source tokens together, "
        f"{options.per_source} hypotheses each"
    )

    def decode_the_largest(tokens: int) -> None:
        """The batch of the longest sentences and that of the most, whose outputs are more."""
        batches = list(by_length(sources.lengths, tokens))
        decode(batches[0])
        decode(max(batches, key=len))

    fits = memory.largest_that_fits(decode_the_largest, len(indices) * longest)
    if fits is None:
        return f"{said}, does not fit, nor does a single one: lower the beam or the longest length"
    tokens = max(1, int(memory.MARGIN * fits * options.per_source))
    return (
        f"{said}, does not fit. --batch-tokens {tokens} (decoding.batch_tokens={tokens} in a "
        "recipe) should fit"
    )


def check_prefix(options: Options, longest: int) -> None:
    """Raise UsageError where the model cannot write more than the prefix."""
    if len(options.prefix) >= longest:
        raise UsageError(
            f"a prefix of {len(options.prefix)} tokens leaves no place for more: the model writes "
            f"at most {longest}"
        )


def _decode(
    model: nn.Module,
    sources: Ragged,
    vocabulary: Vocabulary,
    options: Options,
    keys: Tensor | None,
    indices: NDArray[np.int64],
) -> list[list[Hypothesis]]:
    """The sources at `indices`, together; `keys` are the sampler's, where there is one."""
    device = device_of(model)
    source, lengths = (t.to(device) for t in sources.padded(indices.tolist(), END_ID))
    limits = lengths + options.extra_length
    if options.max_length is not None:
        limits = torch.full_like(lengths, options.max_length)
    longest = longest_output(model)
    if longest is not None:
        check_prefix(options, longest)
        limits = limits.clamp(max=longest)
    limits = limits.clamp(min=len(options.prefix))
    positions = positions_of(lengths, source.shape[1])
    no_repeats = [no_repeat(options.no_repeat_ngram)] if options.no_repeat_ngram else []
    step = model.step
    if options.alternatives:
        return alternatives(
            step,  # type: ignore[arg-type]
            lambda: model.begin(source, positions),  # type: ignore[operator]
            limits,
            vocabulary,
            prefix=options.prefix,
            count=options.alternatives,
            beam=options.beam,
            alpha=options.alpha,
            restrict=all_of(no_repeats),
        )
    state = model.begin(source, positions)  # type: ignore[operator]
    restrict = all_of([*no_repeats, *([begin_with(options.prefix)] if options.prefix else [])])
    if options.sampler is None and options.beam > 1:
        return beam_search(
            step,  # type: ignore[arg-type]
            state,
            limits,
            vocabulary,
            beam=options.beam,
            alpha=options.alpha,
            restrict=restrict,
        )
    if options.copies > 1:
        rows = torch.arange(len(indices), device=device).repeat_interleave(options.copies)
        state, limits = state.select(rows, rows), limits[rows]
    choose: Choose | None = None
    if options.sampler is not None and keys is not None:
        choose = partial(_draw, options.sampler, keys[indices].flatten())
    flat = one_by_one(
        step,  # type: ignore[arg-type]
        state,
        limits,
        vocabulary,
        choose=choose,
        restrict=restrict,
        alpha=options.alpha,
    )
    groups = [flat[i : i + options.copies] for i in range(0, len(flat), options.copies)]
    return [sorted(group, key=lambda h: -h.score) for group in groups]
