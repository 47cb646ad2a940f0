"""One definition, many evaluations: each gives the definition's values and gradients."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from polyhead.attention import core, evaluations, tap
from polyhead.attention.masks import (
    EMPTY,
    Allowed,
    Both,
    Causal,
    Either,
    Everything,
    Mask,
    positions_of,
)
from polyhead.attention.multihead import CrossAttention, SelfAttention
from polyhead.attention.scores import Dot
from polyhead.attention.state import (
    Encoded,
    KeyValueCache,
    Memory,
    same_rows,
    select_parts,
)
from polyhead.attention.weightings import softmax

ROWS, HEADS, WIDTH = 3, 2, 8
SCALE = WIDTH**-0.5


def queries_keys_values(queries: int, keys: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(queries * 100 + keys)
    shapes = [(ROWS, HEADS, n, WIDTH) for n in (queries, keys, keys)]
    return [
        torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes
    ]


def allowed_for(case: str) -> tuple[int, int, Allowed]:
    """(queries, keys, a prepared mask); rows with nothing allowed stand in most of them."""
    full = torch.arange(5).expand(ROWS, 5)
    ragged = positions_of(torch.tensor([5, 2, 0]), 5)
    cases = {
        "everything": lambda: (5, 5, Everything().prepare(full, full)),
        "causal": lambda: (5, 5, Causal().prepare(full, full)),
        "causal with padding": lambda: (5, 5, Causal().prepare(ragged, ragged)),
        "causal, left padding": lambda: (5, 5, Causal().prepare(ragged.flip(1), ragged.flip(1))),
        "causal after a cache": lambda: (
            2,
            5,
            Causal().prepare(full[:, 3:], full),
        ),
        "keys": lambda: (4, 5, Allowed.keys(ragged)),
        "whole": lambda: (1, 5, Allowed.whole(full[:, 4:], full)),
        "nothing at all": lambda: (5, 5, Causal().prepare(full, torch.full_like(full, EMPTY))),
    }
    return cases[case]()


MASKS = [
    "everything",
    "causal",
    "causal with padding",
    "causal, left padding",
    "causal after a cache",
    "keys",
    "whole",
    "nothing at all",
]


@pytest.mark.parametrize("case", MASKS)
@pytest.mark.parametrize("evaluate", [evaluations.fused, evaluations.explicit])
@pytest.mark.parametrize("scale", [SCALE, 1.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_evaluation_has_the_definitions_values_and_gradients(
    case: str, evaluate: type, scale: float, dtype: torch.dtype
) -> None:
    queries, keys, allowed = allowed_for(case)
    q, k, v = queries_keys_values(queries, keys, dtype)
    direction = torch.randn(ROWS, HEADS, queries, WIDTH, dtype=dtype)
    expected, _ = core.attend(q, k, v, allowed, score=Dot(scale))
    wanted = torch.autograd.grad((expected * direction).sum(), (q, k, v))
    found = evaluate(q, k, v, allowed, scale=scale)
    gradients = torch.autograd.grad((found * direction).sum(), (q, k, v))
    tolerance = (
        {"atol": 1e-10, "rtol": 1e-9}
        if dtype == torch.float64
        else {
            "atol": 3e-6,
            "rtol": 1e-4,
        }
    )
    torch.testing.assert_close(found, expected, **tolerance)
    for gradient, want in zip(gradients, wanted, strict=True):
        assert bool(gradient.isfinite().all())
        torch.testing.assert_close(gradient, want, **tolerance)


@pytest.mark.parametrize("evaluate", [evaluations.fused, evaluations.explicit])
def test_rows_with_nothing_allowed_are_zero_and_give_no_gradient(evaluate: type) -> None:
    queries, keys, allowed = allowed_for("causal with padding")
    q, k, v = queries_keys_values(queries, keys, torch.float32)
    for values in (
        evaluate(q, k, v, allowed, scale=SCALE),
        core.attend(q, k, v, allowed)[0],
    ):
        assert bool((values[2] == 0).all())
        assert bool((values[1, :, 2:] == 0).all())
        assert bool((values[1, :, :2] != 0).any())
        gradients = torch.autograd.grad(values.sum(), (q, k, v))
        assert all(bool((g[2] == 0).all()) for g in gradients)
        assert all(bool(g.isfinite().all()) for g in gradients)


@pytest.mark.parametrize("case", ["causal", "keys"])
def test_attend_in_bf16_stays_near_the_definition(case: str) -> None:
    queries, keys, allowed = allowed_for(case)
    q, k, v = queries_keys_values(queries, keys, torch.float32)
    expected, _ = core.attend(q, k, v, allowed)
    for evaluate in (evaluations.fused, evaluations.explicit):
        found = evaluate(q.bfloat16(), k.bfloat16(), v.bfloat16(), allowed, scale=SCALE)
        torch.testing.assert_close(found.float(), expected, atol=0.06, rtol=0.06)


def test_attend_trains_by_explicit_products_below_the_machines_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    for name in ("fused", "explicit"):
        original = getattr(evaluations, name)

        def spy(*args: object, name: str = name, original: type = original, **kw: object) -> object:
            asked.append(name)
            return original(*args, **kw)

        monkeypatch.setattr(evaluations, name, spy)
    monkeypatch.setattr(evaluations, "_explicit_below", 0)
    queries, keys, allowed = allowed_for("causal")
    q, k, v = queries_keys_values(queries, keys, torch.float32)
    first = evaluations.attend(q, k, v, allowed, scale=SCALE)
    evaluations.use_explicit_below(keys + 1)
    second = evaluations.attend(q, k, v, allowed, scale=SCALE)
    evaluations.attend(q.detach(), k.detach(), v.detach(), allowed, scale=SCALE)
    evaluations.use_explicit_below(keys)
    evaluations.attend(q, k, v, allowed, scale=SCALE)
    assert asked == ["fused", "explicit", "fused", "fused"]
    torch.testing.assert_close(first, second)


def test_the_score_of_the_definition_is_the_scaled_dot_product() -> None:
    q, k, v = queries_keys_values(2, 3, torch.float64)
    full = torch.arange(3).expand(ROWS, 3)
    allowed = Everything().prepare(full[:, :2], full)
    values, weights = core.attend(q, k, v, allowed)
    logits = torch.einsum("bhqd,bhkd->bhqk", q, k) / WIDTH**0.5
    torch.testing.assert_close(weights, logits.softmax(dim=-1))
    torch.testing.assert_close(values, torch.einsum("bhqk,bhkd->bhqd", weights, v))


def test_a_bias_is_added_to_the_scores_and_knows_positions() -> None:
    q, k, v = queries_keys_values(3, 3, torch.float64)
    full = torch.arange(3).expand(ROWS, 3)

    def only_the_same_place(query: Tensor, q_positions: Tensor, k_positions: Tensor) -> Tensor:
        assert query is q
        same = q_positions[:, None, :, None] == k_positions[:, None, None, :]
        return torch.where(same, 0.0, -1e9)

    _, weights = core.attend(
        q, k, v, Everything().prepare(full, full), biases=[only_the_same_place]
    )
    torch.testing.assert_close(weights, torch.eye(3, dtype=torch.float64).expand_as(weights))


def test_softmax_weights_sum_to_one_or_are_all_zero() -> None:
    allowed = torch.tensor([[True, False, True], [False, False, False]])
    weights = softmax(torch.randn(1, 1, 2, 3), allowed)
    torch.testing.assert_close(weights.sum(dim=-1), torch.tensor([[[1.0, 0.0]]]))
    assert bool((weights[..., ~allowed] == 0).all())


# --- masks are values


def table(mask: Mask, q: list[int], k: list[int]) -> list[list[bool]]:
    matrix = mask.prepare(torch.tensor([q]), torch.tensor([k])).matrix
    assert matrix.shape == (1, 1, len(q), len(k))
    rows: list[list[bool]] = matrix[0, 0].tolist()
    return rows


def test_masks_are_comparable_hashable_and_printable() -> None:
    assert Causal() == Causal()
    assert Causal() != Everything()
    assert Causal() & Everything() == Both(Causal(), Everything())
    assert Causal() | Everything() == Either(Causal(), Everything())
    assert Causal() & Everything() != Causal() | Everything()
    assert (
        len(
            {
                Causal(),
                Causal(),
                Everything(),
                Causal() & Everything(),
                Both(Causal(), Everything()),
            }
        )
        == 3
    )
    assert repr(Causal() & Everything()) == "Both(first=Causal(), second=Everything())"


def test_masks_are_frozen() -> None:
    both = Causal() & Everything()
    with pytest.raises(AttributeError):
        both.first = Everything()  # type: ignore[misc, attr-defined]


def test_and_and_or_combine_predicates() -> None:
    class Even(Everything):
        def allows(self, q_positions: Tensor, k_positions: Tensor) -> Tensor:
            return (k_positions % 2 == 0) & (q_positions >= 0)

    places = [0, 1, 2, 3]
    causal, even = table(Causal(), places, places), table(Even(), places, places)
    both, either = (
        table(Causal() & Even(), places, places),
        table(Causal() | Even(), places, places),
    )
    for q, k in itertools.product(range(4), range(4)):
        assert causal[q][k] == (k <= q)
        assert both[q][k] == (causal[q][k] and even[q][k])
        assert either[q][k] == (causal[q][k] or even[q][k])


def test_a_causal_mask_looks_at_positions_and_not_at_places() -> None:
    assert table(Causal(), [3], [0, 1, 2, 3]) == [[True] * 4]
    assert table(Causal(), [1], [3, 1, 0]) == [[False, True, True]]


@pytest.mark.parametrize("mask", [Everything(), Causal(), Causal() | Everything()], ids=repr)
def test_an_empty_slot_neither_sees_nor_is_seen(mask: Mask) -> None:
    rows = table(mask, [EMPTY, 2], [0, EMPTY, 1])
    assert rows == [[False, False, False], [True, False, True]]


def test_allowed_keys_lets_every_query_see_every_filled_key() -> None:
    allowed = Allowed.keys(torch.tensor([[0, 1, EMPTY], [EMPTY, 0, 1]]))
    assert allowed.matrix.shape == (2, 1, 1, 3)
    assert allowed.matrix[:, 0, 0].tolist() == [[True, True, False], [False, True, True]]
    assert not allowed.everything
    assert Allowed.keys(torch.tensor([[0, 1, 2]])).everything


def test_allowed_whole_knows_that_everything_is_allowed() -> None:
    allowed = Allowed.whole(torch.tensor([[2]]), torch.tensor([[0, 1, 2]]))
    assert allowed.everything
    assert bool(allowed.matrix.all())


def test_the_additive_mask_is_kept_and_leaves_empty_rows_at_zero() -> None:
    positions = torch.tensor([[0, 1, EMPTY]])
    allowed = Causal().prepare(positions, positions)
    bias, empty = allowed.additive(torch.float32)
    inf = float("inf")
    assert bias[0, 0].tolist() == [[0, -inf, -inf], [0, 0, -inf], [0, 0, 0]]
    assert empty is not None
    assert empty.flatten().tolist() == [False, False, True]
    assert allowed.additive(torch.float32)[0] is bias
    assert allowed.additive(torch.bfloat16)[0].dtype == torch.bfloat16


def test_positions_of_lengths_count_from_zero_and_end_in_empty_slots() -> None:
    found = positions_of(torch.tensor([3, 0, 1]), 3)
    assert found.tolist() == [[0, 1, 2], [EMPTY] * 3, [0, EMPTY, EMPTY]]


# --- taps


def heard_attention(name: str) -> SelfAttention:
    torch.manual_seed(1)
    return SelfAttention(16, 4, name=name)


def test_a_tap_hears_the_definitions_weights_and_leaves_the_values() -> None:
    attention = heard_attention("encoder.0")
    x = torch.randn(2, 5, 16)
    positions = positions_of(torch.tensor([5, 3]), 5)
    allowed = Causal().prepare(positions, positions)
    silent = attention(x, allowed)
    with tap.listen("encoder.*") as heard:
        loud = attention(x, allowed)
    torch.testing.assert_close(loud, silent)
    (weights,) = heard["encoder.0"]
    q, k, v = (
        part.view(2, 5, 4, 4).transpose(1, 2)
        for part in attention.query_key_value(x).chunk(3, dim=-1)
    )
    torch.testing.assert_close(weights, core.attend(q, k, v, allowed)[1])
    assert not weights.requires_grad


def test_a_tap_hears_only_the_names_it_asked_for_and_only_while_it_listens() -> None:
    first, second = heard_attention("encoder.0"), heard_attention("decoder.0.self")
    x = torch.randn(1, 3, 16)
    allowed = Allowed.keys(torch.arange(3)[None])
    with tap.listen("decoder.*") as heard:
        for attention in (first, second, second):
            attention(x, allowed)
    second(x, allowed)
    assert {name: len(calls) for name, calls in heard.items()} == {"decoder.0.self": 2}
    assert not tap.listening("decoder.0.self")


def test_the_weights_are_not_computed_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = core.attend

    def spy(*args: object, **kw: object) -> object:
        calls.append(1)
        return original(*args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(core, "attend", spy)
    attention = heard_attention("encoder.0")
    x, allowed = torch.randn(1, 3, 16), Allowed.keys(torch.arange(3)[None])
    attention(x, allowed)
    with tap.listen("decoder.*"):
        attention(x, allowed)
    assert calls == []
    with tap.listen("encoder.0"):
        attention(x, allowed)
    assert calls == [1]


def test_an_inner_listener_does_not_end_the_outer_one() -> None:
    with tap.listen("a") as outer:
        with tap.listen("b"):
            assert tap.listening("b")
            assert not tap.listening("a")
        assert tap.listening("a")
        tap.hear("a", torch.ones(1))
    assert len(outer["a"]) == 1


# --- state


def test_a_cache_grows_and_keeps_every_key_and_value() -> None:
    cache = KeyValueCache.empty(2, 3, 4, torch.zeros(1))
    parts = [torch.randn(2, 3, n, 4) for n in (1, 5, 1, 30, 1)]
    for part in parts:
        cache = cache.append(part, -part)
    keys, values = cache.filled()
    assert cache.length == 38
    assert torch.equal(keys, torch.cat(parts, dim=2))
    assert torch.equal(values, -keys)
    assert cache.keys.shape[2] >= cache.length


def test_a_growing_cache_is_seldom_copied() -> None:
    cache = KeyValueCache.empty(1, 1, 2, torch.zeros(1))
    copies = 0
    for _ in range(200):
        longer = cache.append(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))
        copies += longer.keys.shape[2] != cache.keys.shape[2]
        cache = longer
    assert copies <= 6


def test_a_cache_has_the_dtype_of_what_it_was_made_like() -> None:
    cache = KeyValueCache.empty(1, 1, 2, torch.zeros(1, dtype=torch.bfloat16))
    assert cache.keys.dtype == torch.bfloat16


def test_a_selected_cache_is_a_copy_in_the_order_asked_for() -> None:
    k = torch.randn(3, 2, 4, 5)
    cache = KeyValueCache.empty(3, 2, 5, k).append(k, 2 * k)
    chosen = cache.select(torch.tensor([2, 0, 0, 1]))
    cache.append(torch.ones(3, 2, 1, 5), torch.ones(3, 2, 1, 5))
    cache.keys.zero_()
    keys, values = chosen.filled()
    assert torch.equal(keys, k[[2, 0, 0, 1]])
    assert torch.equal(values, 2 * k[[2, 0, 0, 1]])
    longer, _ = chosen.append(torch.ones(4, 2, 1, 5), torch.ones(4, 2, 1, 5)).filled()
    assert longer.shape == (4, 2, 5, 5)
    assert bool((longer[:, :, 4] == 1).all())


def test_a_selected_memory_has_the_rows_asked_for() -> None:
    chosen = _memory(0, 1, 2).select(torch.tensor([2, 2, 0]))
    assert chosen.keys.flatten().tolist() == [2, 2, 0]
    assert chosen.values.flatten().tolist() == [-2, -2, 0]
    assert chosen.allowed.k_positions.flatten().tolist() == [2, 2, 0]


def _memory(*numbers: int) -> Memory:
    keys = torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1)
    return Memory(keys, -keys, Allowed.keys(torch.tensor(numbers)[:, None]))


def test_memories_in_parts_are_selected_as_one_and_neighbours_stay_together() -> None:
    parts = [(_memory(0, 1), _memory(10, 11)), (_memory(2, 3, 4), _memory(12, 13, 14))]
    for sentences, lengths in (([0, 1, 2, 3, 4], [2, 3]), ([1, 3, 4], [1, 2]), ([4, 0, 0], [1, 2])):
        chosen = select_parts(parts, torch.tensor(sentences))
        assert [len(part[0].keys) for part in chosen] == lengths
        for layer in range(2):
            keys = torch.cat([part[layer].keys for part in chosen]).flatten()
            assert keys.tolist() == [10 * layer + sentence for sentence in sentences]
        seen = torch.cat([part[1].allowed.k_positions for part in chosen]).flatten()
        assert seen.tolist() == sentences


def test_same_rows_means_all_of_them_in_their_order() -> None:
    assert same_rows(torch.tensor([0, 1, 2]), 3)
    assert not same_rows(torch.tensor([0, 1]), 3)
    assert not same_rows(torch.tensor([0, 2, 1]), 3)


@pytest.mark.parametrize("length", [1, 3])
def test_cross_attention_of_several_rows_a_memory_equals_a_repeated_memory(length: int) -> None:
    torch.manual_seed(2)
    cross = CrossAttention(16, 4)
    memory = torch.randn(2, 5, 16)
    k_positions = positions_of(torch.tensor([5, 3]), 5)
    x = torch.randn(6, length, 16)

    def seen(rows: Tensor, width: int = 5) -> Memory:
        allowed = Allowed.keys(k_positions[rows, :width])
        return cross.remember(Encoded(memory[rows, :width], allowed))

    shared = cross(x, [seen(torch.tensor([0, 1]))])
    repeated = cross(x, [seen(torch.tensor([0, 1]).repeat_interleave(3))])
    torch.testing.assert_close(shared, repeated)
    in_parts = cross(x, [seen(torch.tensor([0])), seen(torch.tensor([1]), width=3)])
    torch.testing.assert_close(shared, in_parts)
    assert not torch.allclose(shared[0], shared[1])


def test_scores_can_be_left_unscaled() -> None:
    assert SelfAttention(16, 4).scale == 0.5
    assert SelfAttention(16, 4, scale_scores=False).scale == 1.0
    assert CrossAttention(16, 4).scale == 0.5
    assert CrossAttention(16, 4, scale_scores=False).scale == 1.0
