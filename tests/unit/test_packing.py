"""Rows without their padding: the same values and gradients as with it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from polyhead.attention import packing
from polyhead.attention.masks import EMPTY, positions_of
from polyhead.attention.packing import Packing, alike
from polyhead.models import transformer

LENGTHS = torch.tensor([5, 2, 3])
POSITIONS = positions_of(LENGTHS, 5)


def packed() -> Packing:
    found = Packing.of(POSITIONS)
    assert found is not None
    return found


def test_filled_slots_alone_are_packed_and_come_back_to_their_places() -> None:
    x = torch.randn(3, 5, 4)
    rows = packed().pack(x)
    assert rows.shape == (10, 4)
    there = POSITIONS >= 0
    assert torch.equal(packed().spread(rows)[there], x[there])


def test_gradients_are_those_of_the_filled_slots() -> None:
    x = torch.randn(3, 5, 2, dtype=torch.float64, requires_grad=True)
    there = (POSITIONS >= 0)[..., None]

    def back_and_forth(x: Tensor) -> Tensor:
        return packed().spread(packed().pack(x).sin()) * there

    assert torch.autograd.gradcheck(back_and_forth, x)


@pytest.mark.parametrize("positions", [POSITIONS[:1], torch.tensor([[-1, 0, 1]])])
def test_without_padding_or_with_padding_in_front_nothing_is_packed(positions: Tensor) -> None:
    assert Packing.of(positions) is None


def test_a_transformer_trains_alike_with_and_without_packing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = transformer.Config(d_model=8, num_layers=2, num_heads=2, d_ff=16, dropout=0)
    torch.manual_seed(1)
    model = transformer.build(config, source_vocab=9, target_vocab=9, shared=True)
    source = torch.randint(9, (3, 5))
    target, target_positions = torch.randint(9, (3, 4)), positions_of(torch.tensor([4, 4, 2]), 4)

    def trained() -> list[Tensor]:
        model.zero_grad()
        hidden = model(source, POSITIONS, target, target_positions)
        hidden = hidden[target_positions >= 0]
        hidden.square().sum().backward()
        return [hidden.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]

    with_packing = trained()
    monkeypatch.setattr(packing.Packing, "of", lambda positions: None)
    for a, b in zip(with_packing, trained(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_neighbours_make_parts_with_little_padding() -> None:
    lengths = torch.tensor([9, 8, 3, 3, 2, 7])
    parts = list(alike(positions_of(lengths, 12), 18))
    assert parts == [(0, 2, 9), (2, 5, 3), (5, 6, 7)]
    assert list(alike(positions_of(lengths, 12), 10_000)) == [(0, 6, 9)]
    assert list(alike(positions_of(lengths, 12), 1)) == [
        (i, i + 1, n) for i, n in enumerate(lengths.tolist())
    ]
    assert list(alike(torch.full((2, 3), EMPTY), 10)) == [(0, 2, 1)]
