"""Pairs of texts: half follow, half are of another document; the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from polyhead.data.documents import Documents, sentences_of
from polyhead.data.masking import Masking
from polyhead.data.sentence_pairs import SentencePairs
from polyhead.errors import DataError

BEGIN, END, MASK, PAD = 900, 901, 902, 903
FULL_STOP, CAPITAL = 798, 799


def made(
    rows: Sequence[Sequence[Sequence[int]]], *, context: int = 64, seed: int = 1
) -> SentencePairs:
    masking = Masking(BEGIN, END, MASK, np.arange(800), np.ones(904, bool), 0.15, False)
    places = [f"document {d}" for d in range(len(rows))]
    both = [[(sentence, sentence) for sentence in row] for row in rows]
    return SentencePairs.of(
        Documents(["x"] * len(rows), places), both, context=context,
        masking=masking, seed=seed, pad=PAD,
    )  # fmt: skip


def pairs(documents: int = 40, *, context: int = 64, seed: int = 1) -> SentencePairs:
    """Document d has d % 7 + 1 sentences of 8 tokens: 20 d + its number, 8 times."""
    rows = [[[20 * d + s] * 8 for s in range(d % 7 + 1)] for d in range(documents)]
    return made(rows, context=context, seed=seed)


def test_half_of_the_second_texts_follow_the_first() -> None:
    corpus = pairs()
    outcomes = []
    for index in range(len(corpus) * 12):
        a, b, follows = corpus.pair(index, np.random.default_rng([1, index]))
        assert len(set(a // 20)) == len(set(b // 20)) == 1
        same = a[0] // 20 == b[0] // 20
        assert same == follows
        if follows:
            assert b[0] == a[-1] + 1
        assert b[0] % 20 > 0, "no true continuation begins a document"
        outcomes.append(follows)
    assert np.mean(outcomes) == pytest.approx(0.5, abs=0.06)


def best_guess(values: Sequence[float], follows: Sequence[bool]) -> float:
    """The share that is told rightly by one threshold on a value, the best there is."""
    found, true = np.array(values, float), np.array(follows)
    order = np.argsort(found)
    last_of_its_value = np.append(np.diff(found[order]) > 0, True)
    more = np.cumsum(np.where(true[order], 1, -1))[last_of_its_value]  # true than torn so far
    return float(max(more.max() + (~true).sum(), true.sum() - more.min()) / len(true))


@pytest.mark.parametrize("sentences", [(2, 4), (2, 60)], ids=str)
@pytest.mark.parametrize("context", [64, 16])
def test_lengths_and_cuts_do_not_tell_which_texts_follow(
    sentences: tuple[int, int], context: int
) -> None:
    """Documents shorter and longer than the context, and sentences longer than it."""
    random = np.random.default_rng(3)
    rows = [
        [
            [CAPITAL, *[5] * int(random.integers(1, 22)), FULL_STOP]
            for _ in range(random.integers(sentences[0], sentences[1], endpoint=True))
        ]
        for _ in range(60)
    ]
    corpus = made(rows, context=context)
    drawn = [corpus.pair(index, np.random.default_rng([2, index])) for index in range(4000)]
    follows = [one[2] for one in drawn]
    for told in (
        [len(a) + len(b) for a, b, _ in drawn],
        [len(b) for _, b, _ in drawn],
        [b[-1] == FULL_STOP for _, b, _ in drawn],
        [b[0] == CAPITAL for _, b, _ in drawn],
        [a[-1] == FULL_STOP for a, _, _ in drawn],
        [np.sum(b == FULL_STOP) for _, b, _ in drawn],
    ):
        assert best_guess(told, follows) < 0.55


def test_a_batch_is_padded_and_says_which_text_is_which() -> None:
    corpus = pairs()
    batch = corpus.batch(np.arange(10))
    assert batch.positions is not None
    assert batch.texts is not None
    for row in range(10):
        real = batch.positions[row] >= 0
        ids, texts = batch.inputs[row][real], batch.texts[row][real]
        assert (int(ids[0]), int(ids[-1])) == (BEGIN, END)
        ends = (ids == END).nonzero()[:, 0]
        assert len(ends) == 2
        assert torch.equal(texts, (torch.arange(len(ids)) > ends[0]).long())
        assert bool((batch.inputs[row][~real] == PAD).all())
        chosen = batch.chosen[row]
        assert not bool(chosen[~real].any() or chosen[real][ends].any() or chosen[0])
        assert int(chosen.sum()) == max(1, round(0.15 * (len(ids) - 3)))
    assert batch.tokens == int(batch.chosen.sum())
    assert bool((batch.inputs[batch.chosen] == MASK).any())


def test_rows_fit_the_context_and_are_the_same_for_the_same_seed() -> None:
    narrow = pairs(context=18)
    assert narrow.batch(np.arange(len(narrow))).inputs.shape[1] == 18
    corpus = pairs(context=24)
    batch = corpus.batch(np.arange(len(corpus)))
    assert batch.inputs.shape[1] == 2 * 8 + 3
    assert torch.equal(batch.inputs[5:7, :12], corpus.batch(np.array([5, 6])).inputs[:, :12])
    later = corpus.batch(np.arange(len(corpus)) + len(corpus))
    assert not torch.equal(later.chosen, batch.chosen)
    other = pairs(context=24, seed=2).batch(np.arange(len(corpus)))
    assert not torch.equal(other.inputs, batch.inputs)
    plan = corpus.plan(batch_tokens=100, epoch=3)
    assert sorted(np.concatenate(plan)) == list(range(3 * len(corpus), 4 * len(corpus)))
    assert max(map(len, plan)) == 4


def test_every_sentence_that_has_a_neighbour_is_in_a_span() -> None:
    corpus = pairs()
    covered = set()
    for document, start, end in corpus.spans.tolist():
        assert end - start >= 2
        assert corpus.begins[document] <= start
        assert end <= corpus.begins[document + 1]
        covered |= set(range(start, end))
    assert covered == set(range(len(corpus.sentences)))
    assert corpus.alone == sum(d % 7 == 0 for d in range(40))
    assert len(corpus.documents) == 40 - corpus.alone


def test_the_first_pairs_are_torn_from_all_documents() -> None:
    few = pairs().first(1)
    assert len(few) == 1
    assert {few.pair(i, np.random.default_rng(i))[2] for i in range(20)} == {True, False}
    assert few.where(0) == "document 1, sentence 1"


def test_one_document_is_not_enough() -> None:
    with pytest.raises(DataError, match=r"two documents or more .* found 0 such among 1"):
        pairs(1)
    with pytest.raises(DataError, match="found 1 such among 3"):
        made([[[1]], [[2], [3]], [[4]]])


def test_sentences_are_lines_or_cut_at_their_ends() -> None:
    assert sentences_of("One. Two!\n\n three ") == ["One. Two!", "three"]
    assert sentences_of('He said "No." Then: yes? 네. 그래요!') == [
        *('He said "No."', "Then: yes?", "네.", "그래요!")
    ]
