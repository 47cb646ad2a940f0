"""What the tasks about labelled texts ask and learn, without a training."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from polyhead import registry
from polyhead.config import TokenizerConfig
from polyhead.data import tokenizers
from polyhead.data.framing import IGNORED, Example, Examples, Framer
from polyhead.data.labelled import Answer, Labelled
from polyhead.errors import RecipeError
from polyhead.recipe.reading import load_recipe
from polyhead.tasks import question_answering, tagging
from polyhead.tasks.shared.objective import Frame
from polyhead.tasks.shared.supervised import Supervised

SIZE = {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 32, "dropout": 0.0}
TABLE = {"file": "a.tsv", "text_column": "text", "label_column": "label"}
SOURCES: dict[str, dict[str, Any]] = {
    "classification": TABLE,
    "regression": TABLE | {"pair_column": "other"},
    "multiple_choice": TABLE | {"choice_columns": ["a", "b", "c"]},
    "tagging": {"file": "a.conll"},
    "question_answering": {"file": "a.json"},
}
LEARNED: dict[str, dict[str, Any]] = {
    "classification": {"names": ["x", "y"]},
    "regression": {"mean": 1.0, "spread": 2.0},
    "multiple_choice": {"choices": 3},
    "tagging": {"names": ["B-A", "O"]},
    "question_answering": {},
}
PAIRS = [("a red cat", "hen"), ("a dog", "it sat here and there"), ("hen", "a cat")]
LABELLED = {
    "classification": [(("a red cat",), "x"), (("hen",), "y"), (("a dog sat here",), "x")],
    "regression": [(pair, float(number)) for number, pair in enumerate(PAIRS)],
    "multiple_choice": [
        (("what", "a dog", "a red cat sat", "it"), (1, 3)),
        (("what is it", "hen", "here", "a hen"), (2, 3)),
    ],
    "tagging": [(("a red cat",), ["O", "O", "B-A"]), (("hen",), ["B-A"])],
    "question_answering": [
        (("what ?", "a red cat sat"), Answer(6, ("cat",))),
        (("what is it ?", "hen"), Answer(0, ("hen",))),
    ],
}


def made(task: str, kind: str, **changes: dict[str, Any]) -> tuple[Supervised, nn.Module]:
    """A task whose tokens are characters, and a model that has learned nothing."""
    recipe: dict[str, Any] = {
        "name": "it", "task": task, "model": {"kind": kind, **SIZE, "max_length": 64},
        "data": {"train": SOURCES[task], "valid": SOURCES[task]},
        "tokenizer": {"kind": "char", "vocab_size": 40}, "training": {"max_steps": 1},
    }  # fmt: skip
    for section, values in changes.items():
        recipe[section] = recipe[section] | values
    read = load_recipe(recipe)
    found = Supervised.train_tokenizers(read, texts_of(task))
    found.learned = LEARNED[task]
    torch.manual_seed(1)
    model = registry.find("models", kind).build(read.model, **found.sizes())
    return found, model.eval()


def texts_of(task: str) -> list[Labelled]:
    return [Labelled(texts, right, f"{n}") for n, (texts, right) in enumerate(LABELLED[task])]


@pytest.mark.parametrize("task", list(SOURCES))
def test_gpts_language_loss_counts_as_much_as_lm_weight_says(task: str) -> None:
    symmetric = {"symmetric": True} if task == "regression" else {}
    losses = {}
    for weight in (0.0, 0.5):
        found, model = made(task, "gpt", data={"lm_weight": weight, **symmetric})
        corpus = found.encode(texts_of(task), learning=True)
        batch = corpus.batch(np.arange(len(corpus)))
        losses[weight] = float(found.loss(model, batch, 0.0)[0].detach()) / batch.tokens
    nlls = []
    for ids in (ids for one in corpus.examples for ids, _ in one.rows):
        row = torch.tensor([ids])
        nlls.append(F.cross_entropy(model.head(model(row))[0, :-1], row[0, 1:]).item())
    assert len(nlls) == {"regression": 6, "multiple_choice": 6}.get(task, len(corpus))
    assert losses[0.5] - losses[0.0] == pytest.approx(0.5 * np.mean(nlls), rel=1e-5)


@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_the_order_of_a_symmetric_pair_means_nothing(task: str, kind: str) -> None:
    source = TABLE | {"pair_column": "other"}
    for symmetric in (True, False):
        data = {"symmetric": symmetric, "train": source, "valid": source}
        found, model = made(task, kind, data=data)
        for matrix in (p for p in model.parameters() if p.dim() > 1):
            matrix.data.mul_(5)  # as they begin, places hardly tell
        said = []
        for one in PAIRS:
            corpus = found.encode([Labelled(texts, None, "1") for texts in (one, one[::-1])])
            _, answers = found.answers(model, corpus)
            said += found.objective.say(answers, corpus.examples, found.known)
        numbers = np.array([one.get("probability", one["label"]) for one in said]).reshape(-1, 2)
        same = np.abs(numbers[:, 0] - numbers[:, 1]) < 1e-6
        assert same.all() if symmetric else not same.any()


def smoothed(task: str) -> Any:
    return load_recipe(
        {
            "name": "it", "task": task, "model": {"kind": "bert", **SIZE},
            "data": {"train": SOURCES[task], "valid": SOURCES[task]},
            "training": {"max_steps": 1, "label_smoothing": 0.1},
        }
    )  # fmt: skip


def test_smoothing_is_refused_where_there_are_no_labels() -> None:
    with pytest.raises(RecipeError, match=r"training\.label_smoothing: no labels to smooth"):
        smoothed("regression")
    for task in SOURCES.keys() - {"regression"}:
        assert smoothed(task).training.label_smoothing == 0.1


def test_rows_longer_than_the_model_reads_are_refused() -> None:
    for task in SOURCES:
        fitting: Any = {"model": {"max_length": 64}, "data": {"max_length": 64}}
        made(task, "bert", **fitting)
        longer = {**fitting, "data": {"max_length": 65}}
        with pytest.raises(RecipeError, match=r"data\.max_length: 65, but the model reads 64"):
            made(task, "bert", **longer)


def test_a_row_has_room_for_more_than_the_tokens_around_its_texts() -> None:
    for task, least in (("classification", 4), ("tagging", 4), ("question_answering", 7)):
        with pytest.raises(RecipeError, match=rf"model\.max_length: rows of at least {least} "):
            made(task, "gpt", model={"max_length": least - 1})
        made(task, "gpt", model={"max_length": least})


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_ends_of_an_answer_are_smoothed_over_the_rows_own_tokens(smoothing: float) -> None:
    lengths, targets = (7, 4), ((2, 5), (0, 0))
    rows = [Example([([1] * n, [0] * n)], t, "1") for n, t in zip(lengths, targets, strict=True)]
    batch = Examples(rows, pad=0, seed=1).batch(np.arange(2))
    answers = torch.randn(2, 7, 2, generator=torch.Generator().manual_seed(1), requires_grad=True)
    loss, nll = question_answering.OBJECTIVE.loss(answers, batch, {}, smoothing)
    expected = [
        F.cross_entropy(answers[row, :length, side], torch.tensor(end), label_smoothing=smooth)
        for smooth in (smoothing, 0.0)
        for row, length in enumerate(lengths)
        for side, end in enumerate(targets[row])
    ]
    assert loss.item() == pytest.approx(sum(expected[:4]).item(), rel=1e-5)
    assert nll.item() == pytest.approx(sum(expected[4:]).item(), rel=1e-5)
    (slope,) = torch.autograd.grad(loss, answers)
    assert slope.isfinite().all()
    assert not slope[1, 4:].any()


WORDS = [f"w{i}" for i in range(60)]


def windows(first: int, last: int, learning: bool) -> list[Example]:
    """The examples of 60 words in rows of 24, of which 20 are for them; where the answer stands."""
    context = " ".join(WORDS)
    tokenizer = tokenizers.train(TokenizerConfig(kind="word", vocab_size=90), [f"q {context}"])
    frame = Frame(tokenizer, Framer(80, 81, 82, 24), {}, None, learning)
    answer = " ".join(WORDS[first : last + 1])
    one = Labelled(("q", context), Answer(context.index(f"w{first} "), (answer,)), "1")
    found, _ = question_answering.OBJECTIVE.examples(one, frame)
    for example in found:
        ids, _ = example.rows[0]
        begin, end = example.target
        if example.target != (0, 0):
            assert ids[begin : end + 1] == tokenizer.encode(answer)
        assert len(ids) <= 24
    return found


@pytest.mark.parametrize(
    ("first", "last", "extra"),
    [(0, 0, 0), (5, 9, 0), (8, 21, 1), (1, 20, 1), (45, 58, 0), (38, 53, 1)],
)
def test_an_answer_that_fits_is_learned_from_a_window_that_holds_it(
    first: int, last: int, extra: int
) -> None:
    found, judged = windows(first, last, True), windows(first, last, False)
    assert any(example.target != (0, 0) for example in found)
    assert len(found) == len(judged) + extra
    assert [one.rows for one in judged] == [one.rows for one in windows(3, 4, False)]
    assert [one.first for one in found] == [True] + [False] * (len(found) - 1)


def test_an_answer_longer_than_a_window_is_not_learned_as_none() -> None:
    assert windows(4, 24, True) == []
    assert len(windows(4, 24, False)) == len(windows(3, 4, False))


@pytest.mark.parametrize("kind", ["char", "bpe", "unigram", "wordpiece", "word"])
def test_a_words_first_token_carries_its_tag(kind: str) -> None:
    texts, text = ["a red cat sat here", "발 q z", "xyz"], "a zred  발q cat xyzzy"
    size = {"bpe": 262, "char": 40, "word": 90}.get(kind, 34)  # of many pieces
    config = TokenizerConfig(kind=kind, vocab_size=size)  # type: ignore[arg-type]
    tokenizer = tokenizers.train(config, texts, verbatim=True)
    names = [f"B-{i}" for i in range(5)]
    frame = Frame(tokenizer, Framer(500, 501, 502, 64), {"names": names}, None)
    (example,), cut = tagging.OBJECTIVE.examples(Labelled((text,), names, "1"), frame)
    assert not cut
    assert [tag for tag in example.target if tag != IGNORED] == [0, 1, 2, 3, 4]
    offsets = tokenizer.inner.encode(text, add_special_tokens=False).offsets
    begins = [match.start() for match in re.finditer(r"\S+", text)]
    for (start, end), tag in zip(offsets, example.target[1:-1], strict=True):
        assert tag == IGNORED or start <= begins[tag] < end
    # a row of six tokens has room for four
    short = replace(frame, framer=Framer(500, 501, 502, 6))
    (example,), cut = tagging.OBJECTIVE.examples(Labelled((text,), names, "1"), short)
    assert cut
    kept = [tag for tag in example.target if tag != IGNORED]
    assert kept == list(range(len(kept)))
    assert 1 < len(kept) < 5 or kind == "char"
    logits = np.zeros((6, 5), np.float32)
    (said,) = tagging.OBJECTIVE.say([logits], [example], {"names": names})
    assert said["words"] == text.split()
    assert said["tags"] == ["B-0"] * len(kept) + ["O"] * (5 - len(kept))
