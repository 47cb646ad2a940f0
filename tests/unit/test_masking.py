"""What is masked: how much, how, and always the same for the same seed and epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from polyhead.config import TokenizerConfig
from polyhead.data import tokenizers
from polyhead.data.documents import Documents
from polyhead.data.masking import MaskedBlocks, Masking
from polyhead.data.tokenizers import BEGINS, MASKS

BEGIN, END, MASK = 90, 91, 92


def blocks(count: int = 1000, *, whole_words: bool = False, **keys: Any) -> MaskedBlocks:
    """Tokens 0 … 79 again and again; every fourth begins a word."""
    begins_word = np.arange(93) % 4 == 0
    masking = Masking(BEGIN, END, MASK, np.arange(80), begins_word, 0.15, whole_words)
    ids = (np.arange(count) % 80).astype(np.int32)
    values: dict[str, Any] = {
        "ids": ids,
        "starts": np.array([0]),
        "documents": Documents(["x"], ["file"]),
        "context": 42,
        "masking": masking,
        "seed": 1,
        "shifted": True,
    }
    return MaskedBlocks(**(values | keys))


def test_the_shares_are_those_of_the_paper() -> None:
    corpus = blocks(40_000)
    batch = corpus.batch(np.arange(len(corpus)))
    rows, width = batch.inputs.shape
    assert width == 42
    assert bool((batch.inputs[:, 0] == BEGIN).all() and (batch.inputs[:, -1] == END).all())
    assert batch.tokens == rows * round(0.15 * 40) == int(batch.chosen.sum())
    inside = batch.inputs[batch.chosen]
    masked = (inside == MASK).float().mean()
    same = (inside == batch.labels).float().mean()
    assert masked.item() == pytest.approx(0.8, abs=0.02)
    assert same.item() == pytest.approx(0.1 + 0.1 / 80, abs=0.02)
    assert int(inside[inside != MASK].max()) < 80


def test_what_is_not_chosen_stays_and_labels_are_what_was_chosen() -> None:
    corpus = blocks()
    batch = corpus.batch(np.array([0, 7]))
    for row, index in enumerate((0, 7)):
        offset = corpus.offset(index)
        whole = torch.from_numpy(corpus.ids[offset : offset + 40].astype(np.int64))
        chosen = batch.chosen[row, 1:-1]
        assert torch.equal(batch.inputs[row, 1:-1][~chosen], whole[~chosen])
        assert torch.equal(batch.labels[row * 6 : row * 6 + 6], whole[chosen])
    assert not batch.chosen[:, [0, -1]].any()


def test_masks_are_new_in_every_epoch_and_the_same_for_the_same_seed() -> None:
    corpus = blocks(shifted=False)
    first = corpus.batch(np.array([3]))
    assert torch.equal(first.inputs, corpus.batch(np.array([5, 3])).inputs[1:])
    later = corpus.batch(np.array([3 + len(corpus)]))
    assert corpus.offset(3) == corpus.offset(3 + len(corpus))
    assert not torch.equal(first.chosen, later.chosen)
    other = blocks(shifted=False, seed=2).batch(np.array([3]))
    assert not torch.equal(first.chosen, other.chosen)


def test_an_epoch_has_every_block_once_and_cuts_them_elsewhere() -> None:
    corpus = blocks()
    plan = corpus.plan(batch_tokens=100, epoch=2)
    indices = np.concatenate(plan)
    assert sorted(indices.tolist()) == list(range(2 * len(corpus), 3 * len(corpus)))
    assert all(len(batch) == 2 for batch in plan[:-1])
    again = corpus.plan(batch_tokens=100, epoch=2)
    assert [b.tolist() for b in plan] == [b.tolist() for b in again]
    assert len({corpus.offset(epoch * len(corpus)) for epoch in range(9)}) > 3
    last = max(corpus.offset(i) for i in range(9 * len(corpus)))
    assert last + corpus.length <= len(corpus.ids)


def test_whole_words_are_chosen_whole() -> None:
    corpus = blocks(whole_words=True)
    for row in corpus.batch(np.arange(10)).chosen[:, 1:-1]:
        assert 6 - 3 <= int(row.sum()) <= 6
    index = 4
    offset = corpus.offset(index)
    words = (offset + np.arange(40)) // 4
    chosen = corpus.batch(np.array([index])).chosen[0, 1:-1].numpy()
    for word in np.unique(words):
        assert len(set(chosen[words == word])) == 1


def masking_of(lengths: Sequence[int]) -> tuple[Masking, NDArray[np.int64]]:
    """Words of these lengths: 0 begins one, 1 goes on."""
    masking = Masking(7, 8, 9, np.arange(2), np.arange(10) == 0, 0.15, True)
    return masking, np.concatenate([np.minimum(np.arange(length), 1) for length in lengths])


def test_words_that_do_not_fit_are_passed_over_and_the_rate_is_kept() -> None:
    random = np.random.default_rng(4)
    shares, chosen = [], np.zeros(300, int)
    for _ in range(200):
        masking, text = masking_of([*random.integers(1, 6, size=60), 60])
        _, picked = masking.apply(text, random)
        assert not picked[-60:].any(), "a word longer than all that may be chosen"
        shares.append(picked.sum() / len(text))
        chosen[: len(text)] += picked
    assert np.mean(shares) == pytest.approx(0.15, abs=0.001)
    assert (chosen[:150] > 0).all()


@pytest.mark.parametrize("lengths", [[40], [20, 20], [7] * 5, [2], [1]])
def test_where_no_word_fits_as_many_tokens_of_words_are_chosen_as_ever(lengths: list[int]) -> None:
    masking, text = masking_of(lengths)
    times = sum(
        masking.apply(text, np.random.default_rng(seed))[1].astype(int) for seed in range(300)
    )
    assert np.sum(times) <= 300 * max(1, round(0.15 * len(text)))
    assert (np.array(times) > 0).all()


@pytest.mark.parametrize("whole_words", [False, True])
def test_ends_of_documents_are_never_chosen_and_no_word_goes_across_them(whole_words: bool) -> None:
    ids = (np.arange(4000) % 80).astype(np.int32)
    ends = np.arange(4000) % 20 == 13  # within what would be a word of four
    ids[ends] = END
    corpus = blocks(ids=ids, whole_words=whole_words)
    words = np.cumsum((np.arange(4000) % 4 == 0) | ends | np.roll(ends, 1))
    for index in range(len(corpus) * 3):
        batch = corpus.batch(np.array([index]))
        chosen = batch.chosen[0, 1:-1].numpy()
        place = slice(corpus.offset(index), corpus.offset(index) + corpus.length)
        assert END not in batch.labels
        count = round(0.15 * (~ends[place]).sum())
        assert count - (3 if whole_words else 0) <= chosen.sum() <= count
        for word in np.unique(words[place]) if whole_words else []:
            assert len(set(chosen[words[place] == word])) == 1


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize(("count", "number"), [(1000, 25), (1001, 26), (1039, 26), (30, 1)])
def test_blocks_that_are_judged_are_the_whole_text_each_token_once(
    count: int, number: int, whole_words: bool
) -> None:
    corpus = blocks(count, shifted=False, whole_words=whole_words)
    assert len(corpus) == number
    times = np.zeros(count, int)
    for index in range(number * 80):
        batch = corpus.batch(np.array([index]))
        assert batch.inputs.shape[1] == min(count, 40) + 2
        offset = corpus.offset(index)
        assert offset == min(index % number * 40, max(0, count - 40))
        places = offset + batch.chosen[0, 1:-1].nonzero()[:, 0].numpy()
        assert (places >= index % number * 40).all(), "chosen in two blocks"
        assert len(places) > 0
        times[places] += 1
    assert (times > 0).all()


@pytest.mark.parametrize(("kind", "size"), [("char", 60), ("bpe", 300), ("wordpiece", 60)])
def test_tokens_that_begin_words_are_known(kind: Any, size: int) -> None:
    config = TokenizerConfig(kind=kind, vocab_size=size)
    text = "the cat, the hat; the bat and the rat sat"
    tokenizer = tokenizers.train(config, [text], verbatim=True, special=(BEGINS[0], MASKS[0]))
    assert tokenizer.size <= size
    assert len({tokenizer.begin_id, tokenizer.mask_id, tokenizer.end_id, tokenizer.pad_id}) == 4
    assert tokenizer.mask_id not in tokenizer.encode("a <mask>")
    ids = np.array(tokenizer.encode("the cat, the hat"))
    words = np.cumsum(tokenizer.begins_word()[ids])
    by_word = [tokenizer.text(ids[words == w]).strip() for w in np.unique(words)]
    assert [w for w in by_word if w] == ["the", "cat", ",", "the", "hat"]
