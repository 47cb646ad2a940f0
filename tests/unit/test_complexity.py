"""Table 1: formulas against what gradients show, the fit, the axes of the picture."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from polyhead.complexity.kinds import KINDS, Kind, Sizes
from polyhead.complexity.measure import costs
from polyhead.complexity.reach import gradient_norms, rounds_needed
from polyhead.complexity.report import exponent, parse_lengths
from polyhead.errors import UsageError
from polyhead.inspection.axes import DECADES, logarithmic
from polyhead.inspection.curves import INKS, Panel, save_panels_picture

SIZES = Sizes(d_model=8, num_heads=2, kernel=3, local=4)
NAMED = {kind.name: kind for kind in KINDS}
EACH_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def made(kind: Kind, length: int) -> torch.nn.Module:
    torch.manual_seed(2)
    return kind.build(SIZES, length).double()


@EACH_KIND
@pytest.mark.parametrize("length", [1, 2, 4, 5, 8, 9, 13, 23])
def test_the_first_position_reaches_the_last_after_the_longest_path(
    kind: Kind, length: int
) -> None:
    assert rounds_needed(kind, SIZES, length) == kind.max_path_length(SIZES, length)


def test_the_formulas_are_those_of_table_1() -> None:
    sizes = Sizes(kernel=3, local=64)
    found = {
        name: (kind.sequential_operations(sizes, 1025), kind.max_path_length(sizes, 1025))
        for name, kind in NAMED.items()
    }
    assert found == {
        "recurrent": (1025, 1025),
        "convolutional": (1, 512),
        "self_attention": (1, 1),
        "local_self_attention": (1, 16),
        "relative_self_attention": (1, 1),
    }


@EACH_KIND
def test_no_layer_looks_ahead(kind: Kind) -> None:
    layer = made(kind, 13)
    x = torch.randn(1, 13, SIZES.d_model, dtype=torch.float64)
    other = x.clone()
    other[:, 7:] += 1
    torch.testing.assert_close(layer(x)[:, :7], layer(other)[:, :7])
    assert not torch.allclose(layer(x)[:, 7], layer(other)[:, 7])


def test_a_recurrent_layers_rounds_end_at_what_it_computes() -> None:
    layer = NAMED["recurrent"].build(SIZES, 6).double()
    x = torch.randn(2, 6, SIZES.d_model, dtype=torch.float64)
    rounds = list(itertools.islice(layer.rounds(x), 7))
    torch.testing.assert_close(rounds[5], layer(x))
    torch.testing.assert_close(rounds[6], rounds[5])
    assert not torch.allclose(rounds[4], rounds[5])


@EACH_KIND
def test_gradient_norms_are_those_of_the_jacobian(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyhead.complexity.reach.SAMPLES", 4000)
    norms = gradient_norms(kind, SIZES, 7)
    assert list(norms) == [0, 1, 2, 4, 6]
    torch.manual_seed(7)  # the same layer
    layer = kind.build(SIZES, 7).double()
    squares = torch.zeros(7, dtype=torch.float64)
    inputs = torch.randn(60, 1, 7, SIZES.d_model, dtype=torch.float64)
    for x in inputs:
        jacobian = torch.autograd.functional.jacobian(lambda y: layer(y)[0, -1], x)
        squares += jacobian[:, 0].square().sum(dim=(0, 2)).flip(0) / SIZES.d_model / len(inputs)
    for distance, norm in norms.items():
        assert norm == pytest.approx(float(squares[distance].sqrt()), rel=0.25, abs=1e-12)


def test_a_recurrent_gradient_vanishes_and_attentions_does_not() -> None:
    norms = {name: gradient_norms(kind, SIZES, 65) for name, kind in NAMED.items()}
    recurrent, attention = norms["recurrent"], norms["self_attention"]
    assert recurrent[64] < 1e-4 * recurrent[1]
    assert attention[64] > 0.1 * attention[1]
    for name, reach in (("convolutional", SIZES.kernel - 1), ("local_self_attention", 4)):
        assert all((norm > 0) == (distance <= reach) for distance, norm in norms[name].items())


def test_costs_are_positive_and_memory_grows_at_most_linearly() -> None:
    found = costs([1024, 2048], Sizes(d_model=16, local=16))
    assert found.keys() == {(length, name) for length in (1024, 2048) for name in NAMED}
    for name in NAMED:
        short, long = found[1024, name], found[2048, name]
        assert min(short.forward_ms, short.backward_ms) > 0
        outputs = 2048 * 16 * 4
        assert outputs < long.peak_bytes <= 2.2 * short.peak_bytes


def test_the_exponent_is_the_slope_of_the_logarithms() -> None:
    assert exponent([10, 20, 40], [3 * n**1.5 for n in (10, 20, 40)]) == pytest.approx(1.5)
    points = [(1, 1), (10, 100), (100, 100)]
    assert exponent(*zip(*points, strict=True)) == pytest.approx(1.0)
    assert exponent([64], [1.0]) is None


def test_lengths_are_read_sorted_and_once_each() -> None:
    assert parse_lengths("256, 64,64") == [64, 256]


@pytest.mark.parametrize(("text", "wrong"), [("64,,9", "''"), ("a", "'a'"), ("64,1", "'1'")])
def test_what_is_no_length_is_told(text: str, wrong: str) -> None:
    with pytest.raises(UsageError, match=f"{wrong} is not a length; give whole numbers from 2 on"):
        parse_lengths(text)


# --- the picture's axes


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([64, 2048], [64, 128, 256, 512, 1024, 2048]),
        ([1, 1023], [1, 4, 16, 64, 256, 1024]),
        ([3.0], [2, 4]),
        ([0.0, 0.3, 5.0], [0.25, 0.5, 1, 2, 4, 8]),
        ([1e-5, 1.0], [10.0**p for p in range(-5, 1)]),
        ([], [1, 2]),
    ],
)
def test_a_logarithmic_axis_holds_what_is_above_zero(
    values: list[float], ticks: list[float]
) -> None:
    assert logarithmic(values, fallback=1.0).ticks == pytest.approx(ticks)


def test_equal_ratios_are_equal_ways_and_what_is_too_small_is_at_the_foot() -> None:
    axis = logarithmic([1e-40, 1.0, 1e-3], fallback=1.0)
    assert axis.share(1e-40) == axis.share(0.0) == 0.0
    axis = logarithmic([1e-3, 1e-12, 1.0], fallback=1.0)
    assert len(axis.ticks) <= 9
    assert axis.ticks[0] >= 10.0 ** -(DECADES + 1)
    assert axis.share(1e-3) - axis.share(1e-6) == pytest.approx(axis.share(1) - axis.share(1e-3))


def test_a_power_law_is_a_straight_line_in_the_picture(tmp_path: Path) -> None:
    line = [(n, n**2, n**2, n**2) for n in (1.0, 4.0, 16.0, 64.0)]
    panel = Panel("squares", "n", {"square": line}, logarithmic=True)
    path = save_panels_picture([panel], tmp_path / "p.png", title="t")
    picture = np.asarray(Image.open(path).convert("RGB"))
    colour = [int(INKS[0][i : i + 2], 16) for i in (1, 3, 5)]
    rows, columns = (picture == colour).all(axis=-1)[: picture.shape[0] - 200].nonzero()
    fit = np.polynomial.Polynomial.fit(columns, rows, 1)
    assert np.abs(fit(columns) - rows).max() < 15
