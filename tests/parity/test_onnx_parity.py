"""ONNX graphs against the models they were made of, at shapes they were not made at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from polyhead.errors import UsageError
from polyhead.export import onnx_export
from polyhead.models import gpt, rnn_seq2seq

runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

SIZE = {"d_model": 32, "num_heads": 4, "d_ff": 64}


def judging_gpt() -> nn.Module:
    config = gpt.Config(**SIZE, num_layers=1, max_length=40, norm="post")
    return gpt.build(config, vocab_size=50, purpose="sequence", outputs=3)


def test_a_fine_tuned_gpt_has_a_graph_for_all_lengths(tmp_path: Path) -> None:
    torch.manual_seed(1)
    graph = onnx_export.graph_of(judging_gpt().eval())
    onnx_export._write(graph, tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    for shape in ((1, 1), (3, 8), (5, 40)):
        assert onnx_export._difference(graph, session, *shape) < 1e-5
    inputs = graph.example(3, 8)
    other = inputs | {"input_ids": inputs["input_ids"].clone()}
    other["input_ids"][1:, -1] = 7  # in padding: nothing told may change
    before, after = (
        session.run(None, {name: x.numpy() for name, x in each.items()})[0]
        for each in (inputs, other)
    )
    np.testing.assert_array_equal(before[:, :-1], after[:, :-1])


def test_a_model_that_writes_step_by_step_has_no_graph() -> None:
    config = rnn_seq2seq.Config(d_model=8)
    model = rnn_seq2seq.build(config, source_vocab=9, target_vocab=9, shared=True)
    with pytest.raises(UsageError, match="RNNSeq2Seq to onnx"):
        onnx_export.graph_of(model)
