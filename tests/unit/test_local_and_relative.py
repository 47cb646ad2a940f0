"""Local and relative attention: the fast evaluations have the definition's values and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from polyhead.attention import core, evaluations, skewed, tap
from polyhead.attention.biases import Relative
from polyhead.attention.masks import EMPTY, Allowed, Causal, Local, positions_of
from polyhead.attention.multihead import SelfAttention
from polyhead.attention.scores import Dot

ROWS, HEADS, WIDTH = 2, 3, 4
SCALE = WIDTH**-0.5
CPU = torch.device("cpu")
TOLERANCE = {
    torch.float64: {"atol": 1e-10, "rtol": 1e-9},
    torch.float32: {"atol": 5e-6, "rtol": 1e-4},
}
LOCALS = [
    pytest.param(Local(4, 4), 19, id="a block cut short at the end"),
    pytest.param(Local(4, 4), 16, id="whole blocks"),
    pytest.param(Local(4, 4), 9, id="one query beyond the first blocks"),
    pytest.param(Local(4, 0), 10, id="nothing before"),
    pytest.param(Local(5, 2), 23, id="less than a block before"),
    pytest.param(Local(3, 7), 25, id="more than two blocks before"),
    pytest.param(Local(1, 3), 9, id="a block for each query"),
    pytest.param(Local(8, 8), 16, id="all of it seen"),
]


def inputs(length: int, dtype: torch.dtype) -> list[Tensor]:
    """q, k and v as `SelfAttention` cuts them from one product: views."""
    generator = torch.Generator().manual_seed(length)
    shape = (ROWS, length, 3 * HEADS * WIDTH)
    projected = torch.randn(shape, generator=generator, dtype=dtype)
    parts = projected.requires_grad_().chunk(3, dim=-1)
    return [part.view(ROWS, length, HEADS, WIDTH).transpose(1, 2) for part in parts]


def relative_bias(distances: int, dtype: torch.dtype) -> Relative:
    torch.manual_seed(distances)
    return Relative(HEADS, WIDTH, distances).to(dtype)


def with_gradients(values: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    torch.manual_seed(0)
    direction = torch.randn(values.shape, dtype=values.dtype)
    return [values, *torch.autograd.grad((values * direction).sum(), leaves)]


def check_equal(
    length: int, dtype: torch.dtype, within: Local | None, relative: Relative | None
) -> None:
    """`attend` on rows in order, and the plain definition under the same mask."""
    q, k, v = inputs(length, dtype)
    places = torch.arange(length).expand(ROWS, length)
    mask = Causal() if within is None else Causal() & within
    weights = [] if relative is None else [relative.embeddings]
    biases = [] if relative is None else [relative]
    defined, _ = core.attend(
        q * SCALE, k, v, mask.prepare(places, places), score=Dot(), biases=biases
    )
    allowed = Allowed.from_the_start(length, CPU, within)
    found = evaluations.attend(q, k, v, allowed, scale=SCALE, relative=relative)
    expected = with_gradients(defined, [q, k, v, *weights])
    for got, wanted in zip(with_gradients(found, [q, k, v, *weights]), expected, strict=True):
        torch.testing.assert_close(got, wanted, **TOLERANCE[dtype])


# --- local


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("within", "length"), LOCALS)
def test_windows_have_the_definitions_values_and_gradients(
    within: Local, length: int, dtype: torch.dtype
) -> None:
    check_equal(length, dtype, within, None)


def test_a_query_sees_its_block_and_so_many_positions_before_it() -> None:
    places = torch.arange(8)[None]
    rows = (Causal() & Local(3, 2)).prepare(places, places).matrix[0, 0]
    seen = [row.nonzero().flatten().tolist() for row in rows]
    first, second = [0, 1, 2], [1, 2, 3, 4, 5]
    assert seen[:3] == [first[: i + 1] for i in range(3)]
    assert seen[3:6] == [second[: i + 3] for i in range(3)]
    assert seen[6:] == [[4, 5, 6], [4, 5, 6, 7]]
    alone = Local(3, 2).prepare(places, places).matrix[0, 0]
    assert alone[3].nonzero().flatten().tolist() == second


@pytest.mark.parametrize(
    "within", [Local(1, 0), Local(4, 0), Local(4, 3), Local(4, 4), Local(2, 7)]
)
def test_the_first_positions_see_all_that_is_before_them(within: Local) -> None:
    places = torch.arange(40)[None]
    local = (Causal() & within).prepare(places, places).matrix[0, 0]
    all_before = Causal().prepare(places, places).matrix[0, 0]
    same = (local == all_before).all(dim=1)
    assert bool(same[: within.whole].all())
    assert not bool(same[within.whole])
    assert Allowed.from_the_start(within.whole, CPU, within).within is None
    longer = Allowed.from_the_start(within.whole + 1, CPU, within)
    assert (longer.within, longer.triangle) == (within, False)
    assert torch.equal(longer.matrix[0, 0], local[: within.whole + 1, : within.whole + 1])


def test_a_local_mask_of_nothing_is_refused() -> None:
    for width, before in ((0, 4), (4, -1)):
        with pytest.raises(ValueError, match=rf"Local\(width={width}, before={before}\)"):
            Local(width, before)


# --- relative


def test_the_bias_is_the_querys_product_with_the_vector_of_the_distance() -> None:
    relative = relative_bias(3, torch.float64)
    q = torch.randn(ROWS, HEADS, 2, WIDTH, dtype=torch.float64)
    q_positions, k_positions = [[4, 6], [1, 2]], [[0, 4, 5], [EMPTY, 1, 0]]
    found = relative(q, torch.tensor(q_positions), torch.tensor(k_positions))
    for b in range(ROWS):
        for i, at in enumerate(q_positions[b]):
            for j, key in enumerate(k_positions[b]):
                if 0 <= key <= at:
                    vectors = relative.embeddings[:, 2 - min(at - key, 2)]
                    wanted = (q[b, :, i] * vectors).sum(dim=-1)
                    torch.testing.assert_close(found[b, :, i, j], wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("distances", [1, 5, 11, 30])
@pytest.mark.parametrize("length", [2, 4, 11])
def test_skewed_blocks_have_the_definitions_values_and_gradients(
    length: int, distances: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    for block in (1, 4, 128):
        monkeypatch.setattr(skewed, "BLOCK", block)
        check_equal(length, dtype, None, relative_bias(distances, dtype))


@pytest.mark.parametrize("distances", [3, 40])
@pytest.mark.parametrize(("within", "length"), LOCALS)
def test_relative_local_attention_has_them_too(
    within: Local, length: int, distances: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for block in (3, 128):
        monkeypatch.setattr(skewed, "BLOCK", block)
        check_equal(length, torch.float64, within, relative_bias(distances, torch.float64))


def test_gradients_are_those_of_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skewed, "BLOCK", 3)
    relative = relative_bias(4, torch.float64)
    q, k, v = (torch.randn(1, HEADS, 7, WIDTH, dtype=torch.float64) for _ in range(3))
    for within, bias in ((Local(2, 2), None), (None, relative), (Local(4, 1), relative)):
        allowed = Allowed.from_the_start(7, CPU, within)

        def values(
            q: Tensor, k: Tensor, v: Tensor, allowed: Any = allowed, b: Any = bias
        ) -> Tensor:
            return evaluations.attend(q, k, v, allowed, scale=SCALE, relative=b)

        leaves = [x.clone().requires_grad_() for x in (q, k, v)]
        assert torch.autograd.gradcheck(values, leaves)


@pytest.mark.parametrize("within", [None, Local(8, 8)])
def test_in_bf16_they_stay_near_the_definition(within: Local | None) -> None:
    relative = relative_bias(16, torch.float32)
    q, k, v = inputs(40, torch.float32)
    allowed = Allowed.from_the_start(40, CPU, within)
    for bias in (None, relative):
        exact = evaluations.attend(q, k, v, allowed, scale=SCALE, relative=bias)
        short = [x.bfloat16() for x in (q, k, v)]
        rough = evaluations.attend(*short, allowed, scale=SCALE, relative=bias)  # type: ignore[arg-type]
        assert rough.dtype == torch.bfloat16
        torch.testing.assert_close(rough.float(), exact, atol=0.08, rtol=0.08)


# --- memory


class _Largest(TorchDispatchMode):
    """The elements of the largest tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(one, Tensor):
                self.elements = max(self.elements, one.untyped_storage().size() // 4)
        return made


@pytest.mark.parametrize("within", [None, Local(16, 16)])
@pytest.mark.parametrize("distances", [None, 8])
def test_no_tensor_grows_with_the_square_of_the_length(
    within: Local | None, distances: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skewed, "BLOCK", 16)
    relative = None if distances is None else relative_bias(distances, torch.float32)
    sizes = []
    for length in (256, 512):
        q, k, v = inputs(length, torch.float32)
        with _Largest() as largest:
            allowed = Allowed.from_the_start(length, CPU, within)
            values = evaluations.attend(q, k, v, allowed, scale=SCALE, relative=relative)
            values.sum().backward()
        sizes.append(largest.elements)
    assert sizes[1] < 512 * 512
    assert sizes[1] <= 2.05 * sizes[0]


# --- in a layer


def layer(relative: bool) -> SelfAttention:
    torch.manual_seed(1)
    bias = Relative(HEADS, WIDTH, 6) if relative else None
    attention = SelfAttention(HEADS * WIDTH, HEADS, relative=bias, name="decoder.0")
    return attention.double()


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("within", [None, Local(4, 4)])
def test_a_tap_hears_rows_that_sum_to_one_and_leaves_the_values(
    within: Local | None, relative: bool
) -> None:
    attention = layer(relative)
    x = torch.randn(ROWS, 11, HEADS * WIDTH, dtype=torch.float64)
    allowed = Allowed.from_the_start(11, CPU, within)
    silent = attention(x, allowed)
    with tap.listen("encoder.*") as unheard:
        attention(x, allowed)
    with tap.listen("decoder.*") as heard:
        loud = attention(x, allowed)
    torch.testing.assert_close(loud, silent)
    assert not unheard
    (weights,) = heard["decoder.0"]
    assert weights.shape == (ROWS, HEADS, 11, 11)
    assert bool((weights[:, :, ~allowed.matrix[0, 0]] == 0).all())
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones_like(weights[..., 0]))


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("within", [None, Local(4, 4)])
def test_step_by_step_is_in_chunks_is_all_at_once(within: Local | None, relative: bool) -> None:
    attention = layer(relative)
    x = torch.randn(ROWS, 11, HEADS * WIDTH, dtype=torch.float64)
    whole = attention(x, Allowed.from_the_start(11, CPU, within))
    mask = Causal() if within is None else Causal() & within
    places = torch.arange(11).expand(ROWS, 11)
    for sizes in ([1] * 11, [4, 1, 6]):
        cache, parts, done = attention.empty_cache(ROWS, x), [], 0
        for size in sizes:
            after = done + size
            allowed = mask.prepare(places[:, done:after], places[:, :after])
            values, cache = attention.step(x[:, done:after], allowed, cache)
            parts.append(values)
            done = after
        torch.testing.assert_close(torch.cat(parts, dim=1), whole)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("within", [None, Local(4, 4)])
def test_padding_on_either_side_changes_no_token(within: Local | None, relative: bool) -> None:
    attention = layer(relative)
    mask = Causal() if within is None else Causal() & within
    x = torch.randn(ROWS, 11, HEADS * WIDTH, dtype=torch.float64)
    lengths = torch.tensor([11, 9])
    right = positions_of(lengths, 11)
    alone = attention(x[1:, :9], Allowed.from_the_start(9, CPU, within))[0]
    in_order = attention(x, Allowed.from_the_start(11, CPU, within))
    torch.testing.assert_close(in_order[1, :9], alone)
    torch.testing.assert_close(attention(x, mask.prepare(right, right))[1, :9], alone)
    left, shifted = right.clone(), x.clone()
    left[1], shifted[1] = right[1].roll(2), x[1].roll(2, 0)
    torch.testing.assert_close(attention(shifted, mask.prepare(left, left))[1, 2:], alone)
