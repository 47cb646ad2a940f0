"""Scores, scopes and hard weights against plain loops over the papers' formulas."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from polyhead.attention import scores, tap
from polyhead.attention.masks import EMPTY, Near, positions_of
from polyhead.attention.scores import Additive, Dot, General
from polyhead.attention.source import Centre, Scope, SourceAttention
from polyhead.attention.weightings import Gaussian, draw, largest
from polyhead.layers.packed import Precision, pack

WIDTH, KEY_WIDTH, INNER = 6, 6, 5
LENGTHS = (7, 4)


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def make(score: str, **keys: object) -> SourceAttention:
    torch.manual_seed(3)
    made: dict[str, object] = {
        "dot": Dot(),
        "general": General(WIDTH, KEY_WIDTH),
        "additive": Additive(WIDTH, KEY_WIDTH, INNER),
    }
    module = SourceAttention(score=made[score], width=WIDTH, **keys)  # type: ignore[arg-type]
    return module.double().eval()


def by_hand(score: object, q: Tensor, k: Tensor) -> Tensor:
    """One query and one key."""
    if isinstance(score, General):
        return q @ (score.project.weight @ k)
    if isinstance(score, Additive):
        return score.v @ torch.tanh(score.query.weight @ q + score.key.weight @ k)
    return q @ k


def expected_values(module: SourceAttention, q: Tensor, memory: Tensor, places: Tensor) -> Tensor:
    """Luong et al. 2015, section 3.2, a query at a time."""
    out = torch.zeros(*q.shape[:2], memory.shape[-1], dtype=q.dtype)
    for b, length in enumerate(LENGTHS):
        for t in range(q.shape[1]):
            centre: Tensor | float = 0.0
            if module.scope == "local-m":
                centre = float(min(places[b, t], length - 1))
            elif module.centre is not None:
                inner = torch.tanh(module.centre.inner.weight @ q[b, t])
                centre = length * torch.sigmoid(module.centre.outer.weight[0] @ inner)
            window = math.inf if module.scope == "global" else module.near.window
            seen = [s for s in range(length) if abs(s - centre) <= window]
            logits = torch.stack([by_hand(module.score, q[b, t], memory[b, s]) for s in seen])
            weights = torch.softmax(logits, dim=0)
            for s, weight in zip(seen, weights, strict=True):
                if module.centre is not None:
                    sigma = module.near.window / 2
                    weight = weight * torch.exp(-((s - centre) ** 2) / (2 * sigma**2))  # noqa: PLW2901
                out[b, t] += weight * memory[b, s]
    return out


@pytest.mark.parametrize("score", ["dot", "general", "additive"])
@pytest.mark.parametrize("scope", ["global", "local-m", "local-p"])
def test_attention_equals_the_papers_formulas_written_as_loops(score: str, scope: Scope) -> None:
    module = make(score, scope=scope, window=2)
    q, memory = tensors((2, 9, WIDTH), (2, 7, KEY_WIDTH))
    places = torch.arange(9).expand(2, 9)
    source = module.remember(memory, positions_of(torch.tensor(LENGTHS), 7))
    found, _ = module(q, source, places)
    torch.testing.assert_close(found, expected_values(module, q, memory, places))


@pytest.mark.parametrize("chunk", [1, 40, scores.CHUNK])
def test_the_additive_score_has_the_gradients_of_its_formula(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "CHUNK", chunk)
    score = Additive(WIDTH, KEY_WIDTH, INNER).double()
    q, k, direction = tensors((2, 1, 4, WIDTH), (2, 1, 3, KEY_WIDTH), (2, 1, 4, 3))
    leaves = [q.requires_grad_(), k.requires_grad_(), *score.parameters()]
    found = score(q, score.keys(k))
    plain = torch.stack(
        [
            torch.stack([by_hand(score, q[b, 0, i], k[b, 0, j]) for j in range(3)])
            for b in range(2)
            for i in range(4)
        ]
    ).view(2, 1, 4, 3)
    torch.testing.assert_close(found, plain)
    wanted = torch.autograd.grad((plain * direction).sum(), leaves)
    got = torch.autograd.grad((found * direction).sum(), leaves)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("score", ["dot", "general", "additive"])
def test_local_m_with_a_window_as_wide_as_the_sentence_is_global(score: str) -> None:
    q, memory = tensors((2, 7, WIDTH), (2, 7, KEY_WIDTH))
    places, positions = torch.arange(7).expand(2, 7), positions_of(torch.tensor(LENGTHS), 7)
    results = []
    for keys in ({"scope": "local-m", "window": 7}, {"scope": "global"}):
        module = make(score, **keys)
        results.append(module(q, module.remember(memory, positions), places)[0])
    assert torch.equal(*results)
    narrow = make(score, scope="local-m", window=1)
    assert not torch.allclose(narrow(q, narrow.remember(memory, positions), places)[0], results[1])


@pytest.mark.parametrize("score", ["dot", "general", "additive"])
def test_local_p_with_a_gaussian_of_1_and_a_wide_window_is_global(score: str) -> None:
    q, memory = tensors((2, 5, WIDTH), (2, 7, KEY_WIDTH))
    places, positions = torch.arange(5).expand(2, 5), positions_of(torch.tensor(LENGTHS), 7)
    everywhere, local = make(score), make(score, scope="local-p", window=8)
    wanted, _ = everywhere(q, everywhere.remember(memory, positions), places)
    source = local.remember(memory, positions)
    assert not torch.allclose(local(q, source, places)[0], wanted)
    local.gaussian = Gaussian(math.inf)
    assert torch.equal(local(q, source, places)[0], wanted)


def test_the_gaussian_is_not_normalised_again_and_gives_the_centre_its_gradient() -> None:
    module = make("dot", scope="local-p", window=2)
    q, memory = tensors((2, 3, WIDTH), (2, 7, KEY_WIDTH))
    source = module.remember(memory, positions_of(torch.tensor(LENGTHS), 7))
    with tap.listen() as heard:
        module(q, source, torch.arange(3).expand(2, 3))[0].sum().backward()
    sums = heard[module.name][0].sum(dim=-1)
    assert bool((sums < 0.999).all())
    assert bool((sums > 0.1).all())
    assert all(bool(p.grad.abs().sum() > 0) for p in module.centre.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_centre_is_predicted_in_fp32_whatever_the_models_precision(precision: Precision) -> None:
    module = make("dot", scope="local-p").centre
    assert module is not None
    narrow = pack(nn.ModuleDict({"centre": copy.deepcopy(module).float()}), precision)
    lengths, (q,) = torch.tensor([300, 5000]), tensors((2, 40, WIDTH))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    found = narrow["centre"](q.to(dtype), lengths)  # type: ignore[index]
    same = Centre(WIDTH).double()
    same.load_state_dict(narrow["centre"].state_dict())  # type: ignore[index]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, same(q.to(dtype).double(), lengths).float())


@pytest.mark.parametrize("hard", [False, True])
def test_a_local_scope_attends_in_bf16(hard: bool) -> None:
    module = make("dot", scope="local-p", window=2, hard=hard).bfloat16().train()
    q, memory = (x.bfloat16() for x in tensors((2, 3, WIDTH), (2, 7, KEY_WIDTH)))
    source = module.remember(memory, positions_of(torch.tensor(LENGTHS), 7))
    values, _ = module(q, source, torch.arange(3).expand(2, 3))
    assert values.dtype == torch.bfloat16
    values.sum().backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in module.centre.parameters())  # type: ignore[union-attr]


def test_near_is_about_distance_and_never_allows_an_empty_slot() -> None:
    k = torch.tensor([[0, 1, 2, 3, EMPTY]])
    allowed = Near(1).prepare(torch.tensor([[0.0, 2.4, 9.0]]), k).matrix[0, 0]
    assert allowed.tolist() == [
        [True, True, False, False, False],
        [False, False, True, True, False],
        [False] * 5,
    ]
    assert Near(3) == Near(3) != Near(4)


def test_beams_of_a_sentence_share_its_source() -> None:
    module = make("general", scope="local-m", window=2)
    q, memory = tensors((6, 1, WIDTH), (2, 7, KEY_WIDTH))
    places = torch.tensor([[0], [4], [2], [1], [1], [3]])
    source = module.remember(memory, positions_of(torch.tensor(LENGTHS), 7))
    together, _ = module(q, source, places)
    spread = source.select(torch.tensor([0, 0, 0, 1, 1, 1]))
    assert torch.equal(together, module(q, spread, places)[0])


# --- hard weights


def test_a_draw_follows_the_probabilities_and_says_its_log_probability_and_entropy() -> None:
    torch.manual_seed(1)
    p = torch.tensor([0.5, 0.3, 0.2, 0.0]).expand(20_000, 1, 1, 4)
    drawn = draw(p)
    assert bool((drawn.weights.sum(dim=-1) == 1).all())
    torch.testing.assert_close(drawn.weights.mean(dim=0)[0, 0], p[0, 0, 0], atol=0.015, rtol=0)
    picked = (drawn.weights * p).sum(dim=-1).log()
    torch.testing.assert_close(drawn.log_probability, picked)
    entropy = -sum(x * math.log(x) for x in (0.5, 0.3, 0.2))
    torch.testing.assert_close(drawn.entropy, torch.full_like(picked, entropy))


def test_an_empty_row_draws_nothing_and_its_gradient_is_finite() -> None:
    p = torch.tensor([[[[0.0, 0.0], [0.4, 0.6]]]], requires_grad=True)
    drawn = draw(p)
    assert drawn.weights[0, 0, 0].tolist() == [0, 0]
    assert drawn.log_probability[0, 0, 0] == 0
    (drawn.log_probability.sum() + drawn.entropy.sum()).backward()
    assert p.grad is not None
    assert bool(p.grad.isfinite().all())


def test_decoding_takes_the_best_key_and_training_draws() -> None:
    logits = torch.tensor([[[[1.0, 3.0, 2.0], [5.0, 0.0, 0.0]]]])
    allowed = torch.tensor([[[[True, False, True], [False, False, False]]]])
    assert largest(logits, allowed).tolist() == [[[[0, 0, 1], [0, 0, 0]]]]
    module = make("dot", hard=True)
    q, memory = tensors((2, 5, WIDTH), (2, 7, KEY_WIDTH))
    source = module.remember(memory, positions_of(torch.tensor(LENGTHS), 7))
    places = torch.arange(5).expand(2, 5)
    torch.manual_seed(2)
    values, nothing = module(q, source, places)
    best = (q @ memory.mT)[0].argmax(dim=-1)
    assert nothing is None
    assert torch.equal(values[0], memory[0][best])
    module.train()
    first, drawn = module(q, source, places)
    assert torch.equal(first, drawn.weights[:, 0] @ memory)
    assert not torch.equal(first, module(q, source, places)[0])
    mixed, _ = module(q, source, places, torch.tensor([True, False]))
    soft = make("dot")
    torch.testing.assert_close(mixed[0], soft(q, source, places)[0][0])


def test_scores_are_modules_or_frozen_values() -> None:
    assert Dot(0.5) == Dot(0.5)
    assert isinstance(General(2, 3), nn.Module)
    k = torch.randn(1, 1, 4, 3)
    assert General(2, 3).keys(k).shape == (1, 1, 4, 2)
    assert Dot().keys(k) is k
