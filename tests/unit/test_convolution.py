"""Gated convolutions and weight norm against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from polyhead.layers.convolution import WeightNormed, gated_convolution
from polyhead.models.conv_seq2seq import Config, build


@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_gated_convolution_is_torchs_convolution_and_gate(width: int) -> None:
    x, weight, bias = torch.randn(2, 9, 4), torch.randn(8, width * 4), torch.randn(8)
    kernel = weight.view(8, width, 4).transpose(1, 2)
    wanted = F.glu(F.conv1d(x.mT, kernel, bias).mT, dim=-1)
    torch.testing.assert_close(gated_convolution(x, (weight, bias), width), wanted)


def test_a_normalised_weight_is_torchs_and_starts_with_the_variance_asked_for() -> None:
    torch.manual_seed(1)
    made = WeightNormed(600, 50, gain=4.0)
    theirs = nn.utils.parametrizations.weight_norm(nn.Linear(600, 50))
    original = theirs.parametrizations.weight
    with torch.no_grad():
        original.original1.copy_(made.v)
        original.original0.copy_(made.g[:, None] * 2)
        made.g.mul_(2)
    torch.testing.assert_close(made()[0], theirs.weight)
    assert float(made.v.var() * 600) == pytest.approx(4.0, rel=0.05)


def test_the_variance_of_states_is_kept_through_the_layers() -> None:
    torch.manual_seed(2)
    config = Config(d_model=128, num_layers=8, dropout=0.0, positions="none")
    model = build(config, source_vocab=500, target_vocab=500, shared=True).eval()
    tokens, places = torch.randint(0, 500, (8, 30)), torch.arange(30).expand(8, 30)
    with torch.no_grad():
        hidden = model(tokens, places, tokens, places)
    assert 0.1 < float(hidden.std() * 128**0.5) < 3  # the embeddings' own is 1


def test_an_even_width_is_a_recipe_error() -> None:
    with pytest.raises(ValidationError, match="choose an odd width"):
        Config(width=4)
