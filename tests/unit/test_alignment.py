"""From attention between tokens to links between words."""

from __future__ import annotations

import numpy as np
import pytest

from polyhead.config import TokenizerConfig
from polyhead.data.tokenizers import train
from polyhead.inspection.alignment import links

TEXTS = ["a man is walking", "zwei frauen gehen weg", "ein mann, ein hund.", "한국 사람이 걷는다"]


@pytest.mark.parametrize("kind", ["bpe", "char"])
@pytest.mark.parametrize(
    "text", [*TEXTS, "  two  spaces ", "unseen wörds \U0001f600!", "x", "", " ", "Ünïcode e\u0301"]
)
def test_the_tokens_of_a_word_spell_it(kind: str, text: str) -> None:
    config = TokenizerConfig.model_validate({"kind": kind, "vocab_size": 300})
    tokenizer = train(config, TEXTS)
    words, ids = tokenizer.words(text), tokenizer.encode(text)
    assert len(words) == len(ids)
    wanted = tokenizer.explain(text).tokens and tokenizer.decode(ids).split()
    assert set(words) - {-1} == set(range(len(text.split())))
    for number, word in enumerate(wanted):
        own = [i for i, place in zip(ids, words, strict=True) if place == number]
        assert tokenizer.decode(own).replace(" ", "") == word or "unk" in word


def test_each_target_word_has_the_source_word_that_its_tokens_attend_to_most() -> None:
    source, target = [0, 0, 1, 2], [0, 1, 1, 2]  # tokens' words; the end token is one more
    weights = np.array(
        [
            [0.3, 0.3, 0.4, 0.0, 0.0],  # the two tokens of word 0 together outweigh word 1
            [0.0, 0.4, 0.2, 0.3, 0.1],
            [0.0, 0.0, 0.3, 0.5, 0.2],  # word 1's tokens: 0.4, 0.5 and 0.8
            [0.0, 0.0, 0.0, 0.0, 1.0],  # the end token alone: no link
            [0.0, 0.0, 0.0, 0.0, 1.0],
        ],
        np.float32,
    )
    assert links(weights, source, target) == [(0, 0), (2, 1)]


def test_spaces_of_no_word_and_texts_that_were_cut_give_no_links() -> None:
    weights = np.full((3, 3), 1 / 3, np.float32)
    assert links(weights, [], [0]) == []
    assert links(weights, [0], []) == []
    assert links(weights, [-1, -1], [0, 0]) == []
    assert links(weights, [0, 0, 1, 1, 2, 2], [0, 0, 0, 1]) == [(0, 0)]
