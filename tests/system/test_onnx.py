"""`export --to onnx` of every kind of run: ONNX Runtime says what the run says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from polyhead_system import inside
from test_labelled import write_task
from test_language_modeling import write_language_recipe
from test_masked_lm import write_pairs_recipe

import polyhead
from polyhead.data.labelled import Labelled
from polyhead.errors import UsageError
from polyhead.export import onnx_export
from polyhead.models import rnn_seq2seq

runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytestmark = pytest.mark.xdist_group("onnx")


def graph_of(recipe: Path) -> tuple[Any, Any]:
    """A run of two steps, loaded, and ONNX Runtime on its export."""
    folder = recipe.parent
    few = ("training.max_steps=2", "training.validate_every=2", "model.num_layers=1")
    trained = inside("train", recipe, *few, "--out", folder / "run")
    assert trained.code == 0, trained.err
    made = inside("export", folder / "run", "--to", "onnx", "--out", folder / "graph")
    assert made.code == 0, made.err
    assert made.lines[0] == str(folder / "graph")
    assert float(made.lines[1].split(": ")[1].split(",")[0]) < 1e-4
    session = runtime.InferenceSession(folder / "graph" / "model.onnx")
    return polyhead.load(folder / "run"), session


def names(session: Any) -> list[str]:
    return [output.name for output in session.get_outputs()]


def test_a_language_model(tmp_path: Path) -> None:
    model, session = graph_of(write_language_recipe(tmp_path))
    cutter = model.task.tokenizer
    (found,) = model.generate(["the cat"], greedy=True, max_tokens=8)
    row = cutter.encode("the cat")
    for _ in range(found.tokens):
        (logits,) = session.run(None, {"input_ids": np.array([row])})
        logits[0, -1, cutter.never] = -np.inf
        row.append(int(logits[0, -1].argmax()))
    assert cutter.text(row) == "the cat" + found.text
    assert (found.tokens, names(session)) == (8, ["logits"])


def test_a_masked_language_model_with_its_head_and_that_for_next_sentences(tmp_path: Path) -> None:
    model, session = graph_of(write_pairs_recipe(tmp_path))
    assert names(session) == ["logits", "next_sentence"]
    cutter, bert = model.task.tokenizer, model.model
    begin, mask, end = cutter.begin_id, cutter.mask_id, cutter.end_id
    ids = [begin, mask, *cutter.encode("dog"), end, *cutter.encode("hen cow"), end]
    second = ids.index(end) + 1
    row = torch.tensor([ids, [0] * second + [1] * (len(ids) - second)])
    with torch.no_grad():
        hidden = bert(row[:1], texts=row[1:])
        wanted = bert.head(hidden)[0].numpy(), bert.next_sentence(hidden)[0].numpy()
    for padding in (0, 7):  # beside a longer row, whatever stands in the padding
        feed = {
            "input_ids": np.full((2, len(ids) + 3), padding),
            "attention_mask": np.ones((2, len(ids) + 3), np.int64),
            "token_type_ids": np.zeros((2, len(ids) + 3), np.int64),
        }
        feed["input_ids"][0, : len(ids)], feed["token_type_ids"][0, : len(ids)] = row.numpy()
        feed["attention_mask"][0, len(ids) :] = 0
        logits, told = session.run(None, feed)
        np.testing.assert_allclose(logits[0, : len(ids)], wanted[0], atol=1e-4)
        np.testing.assert_allclose(told[0], wanted[1], atol=1e-4)


@pytest.mark.parametrize(
    ("task", "kind", "line"),
    [
        ("regression", "bert", "a red cat sat here\ta cat"),
        ("multiple_choice", "gpt", "what is it\tred\tdog sat here"),
        ("question_answering", "bert", "which animal ?\tit is near . a red hen sat here ."),
    ],
)
def test_a_model_that_answers_about_texts(tmp_path: Path, task: str, kind: str, line: str) -> None:
    model, session = graph_of(write_task(tmp_path, task, kind))
    objective = model.task.objective
    parts = objective.input(line, model.task.data)
    corpus = model.task.encode([Labelled(parts, None, "here")])
    batch = corpus.batch(np.arange(1))
    feed = {
        "input_ids": batch.inputs.numpy(),
        "attention_mask": (batch.positions >= 0).long().numpy(),
        "token_type_ids": batch.texts.numpy(),
    }
    feed = {one.name: feed[one.name] for one in session.get_inputs()}
    assert ("token_type_ids" in feed) == (kind == "bert")
    (logits,) = session.run(["logits"], feed)
    answers = [logits[0] if task == "question_answering" else logits]
    (said,) = objective.say(answers, corpus.examples, model.task.known)
    (own,) = model.classify([line])
    if task != "question_answering":
        assert len(logits) == 2, "both orders, or both choices"
        assert bool((batch.positions < 0).any()) == (task == "multiple_choice"), "padding"
    if task == "regression":
        assert said["label"] == pytest.approx(own["label"], abs=1e-3)
    else:
        assert said["label"] == own["label"]
        assert said["probability"] == pytest.approx(own["probability"], abs=1e-4)


def test_a_model_that_writes_step_by_step_has_no_graph() -> None:
    config = rnn_seq2seq.Config(d_model=8)
    model = rnn_seq2seq.build(config, source_vocab=9, target_vocab=9, shared=True)
    with pytest.raises(UsageError, match="RNNSeq2Seq to onnx"):
        onnx_export.graph_of(model)
