"""R-Drop in training: two looks at every pair, and what they make of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from polyhead.config import Recipe
from polyhead.data.examples import PairBatch, PairExamples, Ragged
from polyhead.data.tokenizers import END_ID
from polyhead.recipe.reading import load_recipe
from polyhead.registry import find
from polyhead.tasks.translation import Translation

VOCABULARY, ALPHA = 12, 5.0
TINY = {
    "transformer": {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 16},
    "rnn_seq2seq": {"d_model": 16, "d_embedding": 8, "num_layers": 1},
    "conv_seq2seq": {"d_model": 16, "d_embedding": 8, "num_layers": 1, "width": 3},
}
DATA = {
    **{"source_language": "ko", "target_language": "en"},
    **{"train": {"source": "a", "target": "b"}, "valid": {"source": "a", "target": "b"}},
}


def recipe_of(kind: str, dropout: float, r_drop: float, **more: Any) -> Recipe:
    return load_recipe(
        {
            **{"name": "r", "task": "translation", "data": DATA},
            "model": {"kind": kind, **TINY[kind], "dropout": dropout, **more},
            "training": {"max_steps": 1, "label_smoothing": 0.1, "r_drop": r_drop},
        }
    )


def model_of(recipe: Recipe) -> Any:
    torch.manual_seed(1)
    kind = find("models", recipe.model.kind)  # type: ignore[attr-defined]
    sizes = {"source_vocab": VOCABULARY, "target_vocab": VOCABULARY, "shared": True}
    return kind.build(recipe.model, **sizes).train()


def batch_of() -> PairBatch:
    sources, targets = ([5, 6, END_ID], [7, 8, 9, 10, END_ID]), ([6, END_ID], [9, 5, 7, END_ID])
    pairs = PairExamples(Ragged(sources), Ragged(targets), 0, 0)
    return pairs.batch(np.arange(2))


def losses(recipe: Recipe) -> tuple[float, float, dict[str, torch.Tensor]]:
    model = model_of(recipe)
    torch.manual_seed(2)
    task = Translation(recipe, None, None)  # type: ignore[arg-type]
    loss, nll = task.loss(model, batch_of(), 0.1)
    loss.backward()
    return loss.item(), nll.item(), {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("kind", TINY)
def test_two_looks_that_are_alike_agree(kind: str) -> None:
    plain, twice = (losses(recipe_of(kind, 0.0, alpha)) for alpha in (0.0, ALPHA))
    assert twice[:2] == pytest.approx(plain[:2], rel=1e-5)
    for name, gradient in twice[2].items():
        torch.testing.assert_close(gradient, plain[2][name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", TINY)
def test_two_looks_are_those_of_two_dropouts(kind: str) -> None:
    recipe = recipe_of(kind, 0.5, ALPHA)
    found, nll, _ = losses(recipe)
    model, batch = model_of(recipe), batch_of()
    torch.manual_seed(2)
    read = (batch.source, batch.source_positions, batch.inputs, batch.positions)
    hidden = model(*(part.repeat(2, 1) for part in read))
    logits = F.linear(hidden, model.head.weight, model.head.bias)
    first, second = (one[batch.positions >= 0].log_softmax(-1) for one in logits.chunk(2))
    wanted = batch.labels[batch.positions >= 0]
    looks = torch.cat([first, second])
    plain, smooth = (
        F.cross_entropy(looks, wanted.repeat(2), reduction="sum", label_smoothing=e) / 2
        for e in (0.0, 0.1)
    )
    apart = ((first.exp() - second.exp()) * (first - second)).sum() / 2
    assert apart > 0.01
    assert nll == pytest.approx(plain.item(), rel=1e-5)
    assert found == pytest.approx((smooth + ALPHA / 2 * apart).item(), rel=1e-5)


def test_hard_attention_draws_for_each_look() -> None:
    attention = {"score": "general", "weights": "hard"}
    loss, nll, gradients = losses(recipe_of("rnn_seq2seq", 0.1, ALPHA, attention=attention))
    assert np.isfinite([loss, nll]).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
