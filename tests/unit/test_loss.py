"""The chunked cross-entropy is torch's, in value and gradients, wherever the chunks end."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.layers import loss as module
from polyhead.layers.loss import cross_entropy, token_log_probabilities

TOKENS, WIDTH, VOCABULARY = 23, 8, 31


def example(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    hidden = torch.randn(TOKENS, WIDTH, generator=generator, dtype=dtype)
    weight = torch.randn(VOCABULARY, WIDTH, generator=generator, dtype=dtype)
    labels = torch.randint(0, VOCABULARY, (TOKENS,), generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), labels


@pytest.mark.parametrize("chunk", [1, 5, 22, 23, 24, 1000])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_torchs_cross_entropy_in_value_and_gradients(
    chunk: int, smoothing: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk * VOCABULARY)
    hidden, weight, labels = example(dtype)
    expected = F.cross_entropy(
        F.linear(hidden, weight), labels, label_smoothing=smoothing, reduction="sum"
    )
    wanted = torch.autograd.grad(expected / 7, (hidden, weight))
    found, _ = cross_entropy(hidden, weight, labels, smoothing=smoothing)
    gradients = torch.autograd.grad(found / 7, (hidden, weight))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    for gradient, want in zip(gradients, wanted, strict=True):
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient, want, atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_second_value_is_the_plain_nll_and_has_no_gradient(smoothing: float) -> None:
    hidden, weight, labels = example()
    loss, nll = cross_entropy(hidden, weight, labels, smoothing=smoothing)
    expected = F.cross_entropy(F.linear(hidden, weight), labels, reduction="sum")
    assert nll.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (loss.item() == pytest.approx(nll.item())) == (smoothing == 0.0)
    assert loss.requires_grad
    assert not nll.requires_grad


def test_values_are_the_same_where_no_gradient_is_needed() -> None:
    hidden, weight, labels = example()
    with_gradient = cross_entropy(hidden, weight, labels, smoothing=0.1)
    with torch.no_grad():
        without = cross_entropy(hidden, weight, labels, smoothing=0.1)
    assert with_gradient[0].item() == without[0].item()
    assert with_gradient[1].item() == without[1].item()


def test_a_weight_used_twice_gets_both_gradients() -> None:
    hidden, weight, labels = example()
    embedded = F.embedding(labels, weight)
    loss, _ = cross_entropy(hidden + embedded, weight, labels)
    (found,) = torch.autograd.grad(loss, weight)
    embedded = F.embedding(labels, weight)
    other = F.cross_entropy(F.linear(hidden + embedded, weight), labels, reduction="sum")
    (expected,) = torch.autograd.grad(other, weight)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [4, 1000])
def test_bf16_stays_near_fp32(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk * VOCABULARY)
    hidden, weight, labels = example()
    low_hidden = hidden.detach().bfloat16().requires_grad_()
    low_weight = weight.detach().bfloat16().requires_grad_()
    loss, nll = cross_entropy(hidden, weight, labels, smoothing=0.1)
    low, low_nll = cross_entropy(low_hidden, low_weight, labels, smoothing=0.1)
    assert low.dtype == low_nll.dtype == torch.float32
    assert low.item() == pytest.approx(loss.item(), rel=0.01)
    assert low_nll.item() == pytest.approx(nll.item(), rel=0.01)
    wanted = torch.autograd.grad(loss, (hidden, weight))
    found = torch.autograd.grad(low, (low_hidden, low_weight))
    for gradient, want in zip(found, wanted, strict=True):
        assert gradient.dtype == torch.bfloat16
        assert F.cosine_similarity(gradient.float().flatten(), want.flatten(), dim=0) > 0.999


def test_large_logits_lose_neither_value_nor_gradient() -> None:
    hidden, weight, labels = example()
    scaled = (30 * hidden).detach().requires_grad_()
    loss, nll = cross_entropy(scaled, weight, labels, smoothing=0.1)
    gradients = torch.autograd.grad(loss, (scaled, weight))
    logits = F.linear(scaled, weight)
    other = F.cross_entropy(logits, labels, label_smoothing=0.1, reduction="sum")
    wanted = torch.autograd.grad(other, (scaled, weight))
    surprises = -logits.log_softmax(dim=-1).gather(1, labels[:, None])
    assert surprises.max() > 100
    assert loss.item() == pytest.approx(other.item(), rel=1e-5)
    assert nll.item() == pytest.approx(surprises.sum().item(), rel=1e-5)
    for gradient, want in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("chunk", [1, 10, 1000])
def test_log_probabilities_of_labels_are_those_of_log_softmax(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JUDGED", chunk)
    hidden, weight, labels = example()
    found = token_log_probabilities(hidden, partial(F.linear, weight=weight), labels)
    expected = F.linear(hidden, weight).log_softmax(dim=-1).gather(1, labels[:, None])[:, 0]
    assert found.dtype == torch.float32
    assert not found.requires_grad
    torch.testing.assert_close(found, expected.detach())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_bias_is_added_to_the_logits(smoothing: float) -> None:
    hidden, weight, labels = example()
    bias = torch.randn(len(weight), generator=torch.Generator().manual_seed(2), requires_grad=True)
    loss, nll = cross_entropy(hidden, weight, labels, bias=bias, smoothing=smoothing)
    logits = F.linear(hidden, weight, bias)
    other = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
    parts = (hidden, weight, bias)
    for found, wanted in zip(
        torch.autograd.grad(loss, parts), torch.autograd.grad(other, parts), strict=True
    ):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    assert loss.item() == pytest.approx(other.item(), rel=1e-5)
    head = partial(F.linear, weight=weight, bias=bias)
    own = token_log_probabilities(hidden, head, labels)
    assert nll.item() == pytest.approx(-own.sum().item(), rel=1e-5)


def test_no_tokens_cost_nothing() -> None:
    hidden, weight, labels = example()
    loss, nll = cross_entropy(hidden[:0], weight, labels[:0], smoothing=0.1)
    assert loss.item() == nll.item() == 0.0
    head = partial(F.linear, weight=weight)
    assert token_log_probabilities(hidden[:0], head, labels[:0]).shape == (0,)
