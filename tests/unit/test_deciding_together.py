"""Ensembles, alternatives and options in combination, against brute force over every output."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polyhead.config import TokenizerConfig
from polyhead.data.tokenizers import END_ID, Tokenizer, train
from polyhead.decoding.alternatives import alternatives
from polyhead.decoding.constraints import all_of, begin_with, no_repeat
from polyhead.decoding.ensemble import Ensemble, mean_probability, members_of
from polyhead.decoding.sampling import Sampler
from polyhead.decoding.search import Vocabulary, beam_search, one_by_one
from polyhead.decoding.translate import Options, longest_output, translate_ids
from polyhead.errors import UsageError
from polyhead.models import transformer

SIZE, START, END = 6, 5, 0
VOCABULARY = Vocabulary(START, END, (1, START))
SENTENCES = torch.tensor([[2, 3, 0], [4, 2, 0], [3, 0, 0]])
LENGTHS = torch.tensor([3, 3, 2])
POSITIONS = torch.tensor([[0, 1, 2], [0, 1, 2], [0, 1, -1]])
LIMIT = 4


def tiny(seed: int, **changes: Any) -> transformer.Transformer:
    torch.manual_seed(seed)
    sizes = {"d_model": 8, "num_layers": 1, "num_heads": 2, "d_ff": 16, "max_length": 12}
    config = transformer.Config(**(sizes | changes))
    model = transformer.build(config, source_vocab=SIZE, target_vocab=SIZE, shared=True).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    return model


@torch.no_grad()
def probabilities(model: transformer.Transformer, row: int, body: list[int]) -> Tensor:
    """p [T,V] of every token after each beginning of `body`, by the full forward pass."""
    source, places = SENTENCES[row : row + 1, : LENGTHS[row]], POSITIONS[row : row + 1]
    inputs = torch.tensor([[START, *body]])
    hidden = model(source, places[:, : LENGTHS[row]], inputs, torch.arange(len(body) + 1)[None])
    return torch.softmax(model.head(hidden)[0], dim=-1)


def every_output(models: list[transformer.Transformer], row: int) -> dict[tuple[int, ...], float]:
    """log p of every output of at most LIMIT tokens, the end included, that is allowed."""
    bodies = [t for t in range(SIZE) if t != END and t not in VOCABULARY.never]
    found = {}
    for length in range(LIMIT + 1):
        for body in product(bodies, repeat=length):
            p = sum(probabilities(model, row, list(body)) for model in models) / len(models)
            tokens = body if length == LIMIT else (*body, END)
            found[tokens] = sum(math.log(float(p[i, token])) for i, token in enumerate(tokens))
    return found


def scored(outputs: dict[tuple[int, ...], float], alpha: float) -> list[tuple[float, list[int]]]:
    """(score, tokens without the end), best first."""
    ranked = [
        (log_p / ((5 + len(tokens)) / 6) ** alpha, [t for t in tokens if t != END])
        for tokens, log_p in outputs.items()
    ]
    return sorted(ranked, key=lambda pair: -pair[0])


def repeats(tokens: tuple[int, ...], size: int) -> bool:
    grams = Counter(zip(*(tokens[i:] for i in range(size)), strict=False))
    return max(grams.values(), default=1) > 1


def limits() -> Tensor:
    return torch.full((len(SENTENCES),), LIMIT)


@pytest.fixture(scope="module")
def models() -> list[transformer.Transformer]:
    return [tiny(1), tiny(2, num_layers=2, norm="pre")]


# --- ensembles


def test_the_mean_of_probabilities_survives_tiny_ones() -> None:
    a, b = torch.tensor([-2.0, -500.0]), torch.tensor([-3.0, -1000.0])
    found = mean_probability([a, b])
    assert found[0] == pytest.approx(math.log((math.exp(-2) + math.exp(-3)) / 2))
    assert found[1] == pytest.approx(-500 - math.log(2))
    assert mean_probability([a]) is a


@torch.no_grad()
@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_an_ensembles_wide_beam_finds_the_best_of_all_outputs(
    models: list[transformer.Transformer], alpha: float
) -> None:
    together = Ensemble(models)
    state = together.begin(SENTENCES, POSITIONS)
    found = beam_search(together.step, state, limits(), VOCABULARY, beam=90, alpha=alpha)
    for row, hypotheses in enumerate(found):
        expected = scored(every_output(models, row), alpha)
        for h, (score, tokens) in zip(hypotheses[:25], expected, strict=False):
            assert h.tokens == tokens
            assert h.score == pytest.approx(score, abs=1e-4)
        alone = [scored(every_output([model], row), alpha)[:25] for model in models]
        assert expected[:25] not in alone


@torch.no_grad()
def test_a_narrow_beam_of_an_ensemble_reorders_and_drops_the_rows_of_every_member(
    models: list[transformer.Transformer],
) -> None:
    together = Ensemble(models)
    state = together.begin(SENTENCES, POSITIONS)
    lengths = torch.tensor([4, 1, 3])
    for row, hypotheses in enumerate(
        beam_search(together.step, state, lengths, VOCABULARY, beam=3, alpha=0.0)
    ):
        known = every_output(models, row)
        for h in hypotheses:
            tokens = (*h.tokens, END) if h.ended else tuple(h.tokens)
            if len(h.tokens) < LIMIT and not h.ended:
                continue  # cut at its limit: not among the whole outputs
            assert h.log_probability == pytest.approx(known[tokens], abs=1e-4)


def test_an_ensemble_writes_as_much_as_its_least_able_member() -> None:
    assert longest_output(Ensemble([tiny(1), tiny(2, max_length=7)])) == 7
    assert members_of(tiny(1))[0].config.max_length == 12


@torch.no_grad()
def test_twice_the_same_model_decides_as_the_model_does(
    models: list[transformer.Transformer],
) -> None:
    def outputs(model: Any) -> list[list[int]]:
        state = model.begin(SENTENCES, POSITIONS)
        return [h.tokens for h in one_by_one(model.step, state, limits(), VOCABULARY)]

    assert outputs(Ensemble([models[0], models[0]])) == outputs(models[0])
    assert outputs(Ensemble(models)) != outputs(models[0])


# --- alternatives


@torch.no_grad()
@pytest.mark.parametrize("prefix", [(), (3,), (2, 4)])
@pytest.mark.parametrize("count", [1, 3, 9])
@pytest.mark.parametrize("size", [0, 1])
def test_alternatives_are_the_best_outputs_after_each_probable_token(
    models: list[transformer.Transformer], prefix: tuple[int, ...], count: int, size: int
) -> None:
    model = models[0]
    found = alternatives(
        model.step,
        lambda: model.begin(SENTENCES, POSITIONS),
        limits(),
        VOCABULARY,
        prefix=prefix,
        count=count,
        beam=90,
        alpha=0.6,
        restrict=no_repeat(size) if size else None,
    )
    place = len(prefix)
    for row, group in enumerate(found):
        outputs = {
            tokens: log_p
            for tokens, log_p in every_output([model], row).items()
            if tokens[:place] == prefix and not (size and repeats(tokens, size))
        }
        here = probabilities(model, row, list(prefix))[-1]
        likely = sorted({t[place] for t in outputs}, key=lambda t: -float(here[t]))[:count]
        expected = [
            scored({t: p for t, p in outputs.items() if t[place] == token}, 0.6)[0]
            for token in likely
        ]
        expected.sort(key=lambda pair: -pair[0])
        assert [h.tokens for h in group] == [tokens for _, tokens in expected]
        assert [h.score for h in group] == pytest.approx([s for s, _ in expected], abs=1e-4)
        assert len({(*h.tokens, END)[place] for h in group}) == len(group)


@pytest.fixture(scope="module")
def target() -> Tokenizer:
    return train(TokenizerConfig(vocab_size=270), ["one two three"] * 5)


@pytest.fixture(scope="module")
def wordy(target: Tokenizer) -> nn.Module:
    torch.manual_seed(3)
    config = transformer.Config(d_model=16, num_layers=1, num_heads=2, d_ff=32, max_length=40)
    sizes = {"source_vocab": target.size, "target_vocab": target.size, "shared": True}
    return transformer.build(config, **sizes).eval()


@pytest.mark.parametrize("beam", [1, 3])
def test_alternatives_keep_order_and_empty_lines_whatever_they_are_batched_with(
    wordy: nn.Module, target: Tokenizer, beam: int
) -> None:
    rows = [[7, 9, 30, 8], [], [12], [44, 45, 46, 47, 48, 49]]
    sources = [np.array([*row, END_ID], np.int32) for row in rows]
    options = Options(beam=beam, alternatives=4, prefix=(20, 21), extra_length=6)
    together = translate_ids(wordy, sources, target, options)
    assert [len(group) for group in together] == [4, 0, 4, 4]
    for source, group in zip(sources, together, strict=True):
        (alone,) = translate_ids(wordy, [source], target, options)
        assert [h.tokens for h in alone] == [h.tokens for h in group]
        assert all(h.tokens[:2] == [20, 21] for h in group)
        assert len({h.tokens[2] for h in group}) == len(group)


def test_a_prefix_as_long_as_the_model_leaves_no_place(wordy: nn.Module, target: Tokenizer) -> None:
    options = Options(alternatives=2, prefix=(20,) * 40)
    with pytest.raises(UsageError, match=r"40 tokens leaves no place .* at most 40"):
        translate_ids(wordy, [np.array([7, END_ID], np.int32)], target, options)


# --- options in combination


@torch.no_grad()
@pytest.mark.parametrize("size", [1, 2])
def test_nbest_with_a_prefix_and_no_repeats_is_the_best_of_what_is_allowed(
    models: list[transformer.Transformer], size: int
) -> None:
    model, prefix = models[0], (3, 2)
    restrict = all_of([no_repeat(size), begin_with(prefix)])
    state = model.begin(SENTENCES, POSITIONS)
    found = beam_search(
        model.step, state, limits(), VOCABULARY, beam=90, alpha=0.6, restrict=restrict
    )
    for row, hypotheses in enumerate(found):
        allowed = {
            tokens: log_p
            for tokens, log_p in every_output([model], row).items()
            if tokens[:2] == prefix and not repeats(tokens, size)
        }
        expected = scored(allowed, 0.6)
        assert [h.tokens for h in hypotheses] == [tokens for _, tokens in expected]
        assert [h.score for h in hypotheses] == pytest.approx([s for s, _ in expected], abs=1e-4)


@torch.no_grad()
def test_samples_with_a_prefix_and_no_repeats_come_as_often_as_they_should(
    models: list[transformer.Transformer],
) -> None:
    model, prefix, temperature, top_k, count = models[0], (3,), 0.7, 3, 4000
    rows = torch.zeros(count, dtype=torch.long)
    state = model.begin(SENTENCES[:1], POSITIONS[:1]).select(rows, rows)
    drawn = one_by_one(
        model.step,
        state,
        torch.full((count,), 3),
        VOCABULARY,
        choose=Sampler(seed=2, temperature=temperature, top_k=top_k),
        restrict=all_of([no_repeat(1), begin_with(prefix)]),
    )
    counted = Counter((*h.tokens, END) if h.ended else tuple(h.tokens) for h in drawn)
    expected = exact_shares(model, [*prefix], temperature, top_k)
    assert sum(expected.values()) == pytest.approx(1)
    assert counted.keys() <= expected.keys()
    for tokens, p in expected.items():
        margin = 5 * math.sqrt(p * (1 - p) / count)
        assert counted[tokens] / count == pytest.approx(p, abs=margin)


def exact_shares(
    model: transformer.Transformer, body: list[int], temperature: float, top_k: int
) -> dict[tuple[int, ...], float]:
    """How often sampling without repeats ends in each output of at most 3 tokens."""
    p = probabilities(model, 0, body)[-1]
    kept = [t for t in range(SIZE) if t not in VOCABULARY.never and t not in body]
    kept = sorted(kept, key=lambda t: -float(p[t]))[:top_k]
    weights = {t: float(p[t]) ** (1 / temperature) for t in kept}
    shares: dict[tuple[int, ...], float] = {}
    for token, weight in weights.items():
        share = weight / sum(weights.values())
        if token == END or len(body) == 2:
            shares[(*body, token)] = share
            continue
        for tokens, rest in exact_shares(model, [*body, token], temperature, top_k).items():
            shares[tokens] = share * rest
    return shares
