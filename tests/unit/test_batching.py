"""Batches as a pure function of seed and epoch: nothing lost, nothing twice, the budget kept."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhead.data.batching import Plan, by_length, pack, plan_epoch
from polyhead.data.examples import PairExamples, Ragged

lengths = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=60)
budgets = st.integers(1, 200)
seeds = st.integers(0, 5)
many = settings(max_examples=60, deadline=None, derandomize=True)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(pairs, np.int64)
    return array[:, 0], array[:, 1]


def listed(plan: Plan) -> list[list[int]]:
    return [batch.tolist() for batch in plan]


def within_budget(batch: np.ndarray, source: np.ndarray, target: np.ndarray, budget: int) -> bool:
    rows = len(batch)
    return rows == 1 or (
        rows * target[batch].max() <= budget and rows * source[batch].max() <= 2 * budget
    )


@many
@given(lengths, budgets, seeds, seeds)
def test_every_example_comes_once_an_epoch_within_the_budget(
    pairs: list[tuple[int, int]], budget: int, seed: int, epoch: int
) -> None:
    source, target = columns(pairs)
    plan = plan_epoch(source, target, batch_tokens=budget, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(pairs)))
    assert all(within_budget(batch, source, target, budget) for batch in plan)


@many
@given(lengths, budgets, seeds, seeds)
def test_a_plan_depends_on_nothing_but_seed_and_epoch(
    pairs: list[tuple[int, int]], budget: int, seed: int, epoch: int
) -> None:
    source, target = columns(pairs)
    first = plan_epoch(source, target, batch_tokens=budget, seed=seed, epoch=epoch)
    np.random.default_rng(seed).random()
    np.random.random(3)
    torch.rand(2)
    again = plan_epoch(source, target, batch_tokens=budget, seed=seed, epoch=epoch)
    assert listed(first) == listed(again)


@pytest.mark.parametrize("other", [(1, 1), (2, 0), (0, 1)])
def test_another_epoch_or_seed_is_another_plan(other: tuple[int, int]) -> None:
    source = target = np.repeat(np.arange(1, 11), 10)
    sizes = {"batch_tokens": 30}
    first = plan_epoch(source, target, seed=1, epoch=0, **sizes)
    second = plan_epoch(source, target, seed=other[0], epoch=other[1], **sizes)
    assert {frozenset(b) for b in listed(first)} != {frozenset(b) for b in listed(second)}


def test_batches_hold_similar_lengths_in_an_order_that_is_not_by_length() -> None:
    random = np.random.default_rng(1)
    target = random.integers(1, 50, 2000)
    plan = plan_epoch(target, target, batch_tokens=400, seed=1, epoch=0)
    spreads = [int(target[b].max() - target[b].min()) for b in plan]
    assert max(spreads) <= 25
    assert float(np.mean(spreads)) < 2
    widest = [int(target[b].max()) for b in plan]
    assert widest != sorted(widest)
    assert widest != sorted(widest, reverse=True)


def test_padding_stays_small() -> None:
    random = np.random.default_rng(1)
    target = random.integers(1, 50, 2000)
    plan = plan_epoch(target, target, batch_tokens=1000, seed=1, epoch=0)
    padded = sum(len(b) * int(target[b].max()) for b in plan)
    assert padded < 1.1 * target.sum()


@many
@given(lengths, budgets, st.lists(st.integers(1, 4), min_size=60, max_size=60))
def test_a_whole_weight_draws_an_example_exactly_that_often(
    pairs: list[tuple[int, int]], budget: int, weights: list[int]
) -> None:
    source, target = columns(pairs)
    wanted = np.array(weights[: len(pairs)], np.float64)
    plan = plan_epoch(source, target, batch_tokens=budget, seed=1, epoch=0, weights=wanted)
    drawn = np.bincount(np.concatenate(plan), minlength=len(pairs))
    assert drawn.tolist() == wanted.tolist()
    assert all(within_budget(batch, source, target, budget) for batch in plan)


def test_a_fractional_weight_draws_the_floor_and_sometimes_one_more() -> None:
    count = 3000
    ones = np.ones(count, np.int64)
    weights = np.repeat([0.25, 1.0, 2.5], count // 3)
    plan = plan_epoch(ones, ones, batch_tokens=100, seed=1, epoch=0, weights=weights)
    drawn = np.bincount(np.concatenate(plan), minlength=count).reshape(3, -1)
    assert set(drawn[0]) == {0, 1}
    assert set(drawn[1]) == {1}
    assert set(drawn[2]) == {2, 3}
    assert drawn[0].mean() == pytest.approx(0.25, abs=0.07)
    assert drawn[2].mean() == pytest.approx(2.5, abs=0.08)


def test_a_low_weight_draws_others_in_another_epoch() -> None:
    ones = np.ones(100, np.int64)
    weights = np.full(100, 0.5)
    drawn = [
        set(
            np.concatenate(
                plan_epoch(ones, ones, batch_tokens=9, seed=1, epoch=epoch, weights=weights)
            ).tolist()
        )
        for epoch in (0, 1)
    ]
    assert drawn[0] != drawn[1]


def test_an_epoch_is_never_empty_however_low_the_weights() -> None:
    one = np.ones(1, np.int64)
    for epoch in range(20):
        plan = plan_epoch(one, one, batch_tokens=9, seed=1, epoch=epoch, weights=np.array([0.01]))
        assert listed(plan) == [[0]]


@many
@given(lengths, budgets)
def test_packing_keeps_the_order_and_opens_a_batch_only_where_it_must(
    pairs: list[tuple[int, int]], budget: int
) -> None:
    source, target = columns(pairs)
    order = np.arange(len(pairs))
    plan = pack(order, source, target, budget)
    assert np.concatenate(plan).tolist() == order.tolist()
    for batch, following in pairwise(plan):
        assert not within_budget(np.append(batch, following[0]), source, target, budget)


def test_what_is_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    size = np.array([3, 50, 3])
    assert listed(pack(np.arange(3), size, size, 10)) == [[0], [1], [2]]


@many
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), budgets)
def test_evaluation_batches_go_from_long_to_short(sizes: list[int], budget: int) -> None:
    array = np.array(sizes, np.int64)
    order = np.concatenate(by_length(array, budget))
    assert sorted(order.tolist()) == list(range(len(sizes)))
    assert array[order].tolist() == sorted(sizes, reverse=True)


# --- ragged rows and the batches made of them

rows_of_ids = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=8), min_size=1, max_size=12)


@many
@given(rows_of_ids)
def test_ragged_rows_come_back_as_they_were(rows: list[list[int]]) -> None:
    ragged = Ragged(rows)
    assert len(ragged) == len(rows)
    assert [ragged[i].tolist() for i in range(len(rows))] == rows
    assert ragged.values.dtype == np.int32
    backwards = list(range(len(rows)))[::-1]
    assert [row.tolist() for row in ragged.take(np.array(backwards))] == rows[::-1]


@many
@given(rows_of_ids, st.data())
def test_padded_rows_hold_their_ids_and_then_the_fill(
    rows: list[list[int]], data: st.DataObject
) -> None:
    some = st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6)
    indices = data.draw(some)
    block, found = Ragged(rows).padded(indices, 7)
    assert block.dtype == torch.int64
    width = max(len(rows[i]) for i in indices)
    assert found.tolist() == [len(rows[i]) for i in indices]
    assert block.tolist() == [rows[i] + [7] * (width - len(rows[i])) for i in indices]


def test_a_batch_is_shifted_right_for_teacher_forcing() -> None:
    examples = PairExamples(
        Ragged([[5, 6, 0], [7, 0]]), Ragged([[8, 0], [9, 10, 11, 0]]), source_pad=98, target_pad=99
    )
    batch = examples.batch(np.array([1, 0]))
    assert batch.source.tolist() == [[7, 0, 98], [5, 6, 0]]
    assert batch.source_positions.tolist() == [[0, 1, -1], [0, 1, 2]]
    assert batch.labels.tolist() == [[9, 10, 11, 0], [8, 0, 99, 99]]
    assert batch.inputs.tolist() == [[99, 9, 10, 11], [99, 8, 99, 99]]
    assert batch.positions.tolist() == [[0, 1, 2, 3], [0, 1, -1, -1]]
    assert batch.indices.tolist() == [1, 0]
    assert batch.tokens == 6
