"""The task of masked language modelling: what it makes of texts, and of a model's answers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from polyhead.data.documents import sentences_of
from polyhead.data.sentence_pairs import SentencePairs
from polyhead.data.tokenizers import END_ID
from polyhead.models.bert import Config, build
from polyhead.recipe.reading import load_recipe
from polyhead.tasks.masked_lm import Task

TEXTS = ["the cat sat. it ate. she had no hat.", "a bat ran.\nthe rat, too, ran off.\nno one saw."]
KINDS = {"bpe": 300, "char": 40, "wordpiece": 60, "unigram": 60, "word": 60}


def task_of(kind: str, folder: Path, *, seed: int = 1, pairs: bool = True) -> Task:
    """A task, of pairs of texts if not said otherwise, with a tokenizer of that kind."""
    paragraphs = {"file": "text.txt", "documents": "paragraph"}
    recipe = {
        **{"name": "pairs", "task": "masked_lm", "seed": seed},
        "model": {"kind": "bert", "preset": "char"},
        "data": {
            **{"train": paragraphs, "valid": paragraphs, "context": 40},
            **{"next_sentence": pairs, "whole_words": True, "mask_rate": 0.3},
        },
        "tokenizer": {"kind": kind, "vocab_size": KINDS[kind]},
        "training": {"max_steps": 1},
    }
    (folder / "text.txt").write_text("\n\n".join(TEXTS), encoding="utf-8")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    loaded = load_recipe(folder / "recipe.yaml")
    return Task.train_tokenizers(loaded, Task.read_training(loaded, print))


@pytest.mark.parametrize("kind", KINDS)
def test_sentences_that_follow_each_other_read_as_their_text_does(
    kind: str, tmp_path: Path
) -> None:
    task = task_of(kind, tmp_path)
    corpus = task.read("valid", print)
    assert isinstance(corpus, SentencePairs)
    lines = [sentences_of(text) for text in TEXTS]
    wanted = {
        tuple(task.tokenizer.encode(" ".join(some[first:last])))
        for some in lines
        for first, last in itertools.combinations(range(len(some) + 1), 2)
    }
    for index in range(60):
        a, b, _ = replace(corpus, context=1000).pair(index, np.random.default_rng(index))
        assert {tuple(a.tolist()), tuple(b.tolist())} <= wanted


@pytest.mark.parametrize("kind", KINDS)
def test_words_end_where_a_text_does_and_where_it_is_cut(kind: str, tmp_path: Path) -> None:
    """Every word of A and of B is chosen whole, none across the two."""
    task = task_of(kind, tmp_path)
    corpus = task.read("valid", print)
    begins_word, beside = task.tokenizer.begins_word(), 0
    for index in range(300):
        batch = corpus.batch(np.array([index]))
        chosen = batch.chosen[0].numpy()
        row = batch.inputs[0].numpy().copy()
        row[chosen] = batch.labels.numpy()
        for text in np.split(np.arange(len(row) - 1), (row[:-1] == END_ID).nonzero()[0]):
            begins = begins_word[row[text[1:]]]
            begins[0] = True
            for word in np.split(text[1:], begins.nonzero()[0][1:]):
                assert len(set(chosen[word])) == 1
        first, second = (row == END_ID).nonzero()[0]
        beside += bool(chosen[first - 1]) != bool(chosen[first + 1]) and second > first + 1
    assert beside > 30, "the words around the end of A are chosen each by itself"


def test_what_is_judged_does_not_follow_the_recipes_seed(tmp_path: Path) -> None:
    one, two = (task_of("char", tmp_path, seed=seed) for seed in (1, 2))
    rows = np.arange(6)
    for split, same in (("valid", True), ("train", False)):
        found = []
        for task in (one, two):
            read = task.read_training(task.recipe, print)
            corpus = task.read("valid", print) if same else task.training_corpus(read, print)
            found.append(corpus)
        batches = [corpus.batch(rows) for corpus in found]
        assert (found[0].fingerprint == found[1].fingerprint) == same, split
        assert torch.equal(batches[0].torn, batches[1].torn) == same
        assert torch.equal(batches[0].inputs, batches[1].inputs) == same


@pytest.mark.parametrize("pairs", [True, False])
def test_logits_are_computed_at_the_places_that_are_predicted_alone(
    pairs: bool, tmp_path: Path
) -> None:
    task = task_of("char", tmp_path, pairs=pairs)
    sizes = {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 16, "max_length": 40}
    model = build(Config.model_validate(sizes), **task.sizes())
    given: list[tuple[int, ...]] = []
    model.head.register_forward_pre_hook(lambda _, x: given.append(tuple(x[0].shape)))  # type: ignore[union-attr]
    corpus = task.read("valid", print)
    batch = corpus.batch(np.arange(len(corpus)))
    task.loss(model, batch, 0.0)
    assert given == [(int(batch.chosen.sum()), 16)]
    given.clear()
    task.judge(model, corpus)
    assert given == [(int((batch.inputs == task.tokenizer.mask_id).sum()), 16)]
    assert 0 < given[0][0] < batch.inputs.numel() / 2
