"""What every decoder without an encoder promises; registering one gets it tested here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from kinds import of_family
from safetensors.torch import save_file
from torch import Tensor, nn

from polyhead import registry
from polyhead.attention import tap
from polyhead.attention.evaluations import use_explicit_below
from polyhead.attention.masks import EMPTY, positions_of
from polyhead.layers.loss import cross_entropy
from polyhead.layers.packed import PackedLinear, pack
from polyhead.models import gpt
from polyhead.runs.folder import load_weights, read_weights, weights_of
from polyhead.training.recompute import recompute

VOCAB = 40
SMALL = {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_ff": 64, "max_length": 24}

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "gpt": {
        "gpt2": {"norm": "pre", "activation": "gelu_tanh"},
        "gpt1": {"norm": "post", "activation": "gelu_tanh"},
        "exact": {"norm": "pre", "activation": "gelu"},
    },
}
CASES = [
    pytest.param(kind, keys, id=f"{kind}-{name}")
    for kind, variants in VARIANTS.items()
    for name, keys in variants.items()
]
every_model = pytest.mark.parametrize(("kind", "keys"), CASES)


def make(kind: str, keys: dict[str, Any], *, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(7)
    module = registry.find("models", kind)
    config = module.Config.model_validate({"kind": kind, **SMALL, "dropout": dropout, **keys})
    model: nn.Module = module.build(config, vocab_size=VOCAB)
    return model.eval()


def awake(kind: str, keys: dict[str, Any]) -> nn.Module:
    """A model whose weights are large enough for every part to be seen in its output."""
    model = make(kind, keys)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    return model


def some_ids(rows: int, length: int, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, VOCAB - 1, (rows, length), generator=generator)


def logits_of(model: nn.Module, tokens: Tensor, *more: Tensor) -> Tensor:
    logits: Tensor = model.head(model(tokens, *more))  # type: ignore[operator]
    return logits


def straight(tokens: Tensor) -> Tensor:
    return torch.arange(tokens.shape[1]).expand(tokens.shape)


def test_every_registered_decoder_has_variants_here() -> None:
    assert list(VARIANTS) == of_family("decoder")


# --- learning


@every_model
def test_blocks_that_are_computed_again_have_the_same_gradients(
    kind: str, keys: dict[str, Any]
) -> None:
    tokens, found, times = some_ids(3, 20), [], []
    for again in (False, True):
        model = make(kind, keys, dropout=0.2).train()
        calls: list[int] = []
        model.blocks[0].attention.register_forward_hook(lambda *_, calls=calls: calls.append(1))  # type: ignore[union-attr, index]
        if again:
            recompute(model)
        torch.manual_seed(2)
        logits = logits_of(model, tokens)
        nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
        found.append([p.grad for p in model.parameters()])
        times.append(len(calls))
    assert times == [1, 2]
    assert all(map(torch.equal, *found))


@every_model
def test_gradient_reaches_every_parameter(kind: str, keys: dict[str, Any]) -> None:
    model = make(kind, keys, dropout=0.1).train()
    hidden = model(some_ids(6, 24))
    labels = some_ids(6, 24, seed=5).flatten()
    loss, _ = cross_entropy(hidden.flatten(0, 1), model.head.weight, labels)  # type: ignore[union-attr, arg-type]
    loss.backward()
    unreached = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert unreached == []
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@every_model
def test_one_batch_can_be_overfitted(kind: str, keys: dict[str, Any]) -> None:
    model = make(kind, keys).train()
    row = some_ids(4, 9)
    inputs, labels = row[:, :-1], row[:, 1:]
    inputs[:, 0] = torch.arange(4)  # else nothing tells the rows' first labels
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(120):
        loss = nn.functional.cross_entropy(logits_of(model, inputs).flatten(0, 1), labels.flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss < 0.05


@every_model
@torch.no_grad()
def test_the_first_loss_is_that_of_a_blind_guess(kind: str, keys: dict[str, Any]) -> None:
    torch.manual_seed(7)
    module = registry.find("models", kind)
    config = module.Config.model_validate({"kind": kind, **SMALL, **keys, "d_model": 128})
    model = module.build(config, vocab_size=2000).eval()
    tokens, labels = torch.randint(2, 2000, (2, 16, 12))
    loss = nn.functional.cross_entropy(logits_of(model, tokens).flatten(0, 1), labels.flatten())
    assert loss.item() == pytest.approx(math.log(2000), abs=0.1)


# --- what a position may know


@every_model
@torch.no_grad()
def test_nothing_leaks_from_the_future(kind: str, keys: dict[str, Any]) -> None:
    model = awake(kind, keys)
    tokens = some_ids(3, 9)
    before = logits_of(model, tokens)
    for place in (1, 4, 8):
        changed = tokens.clone()
        changed[:, place:] = (changed[:, place:] - 2 + 11) % (VOCAB - 3) + 2
        after = logits_of(model, changed)
        torch.testing.assert_close(before[:, :place], after[:, :place], atol=1e-6, rtol=0)
        assert not torch.isclose(before[:, place], after[:, place]).all(dim=-1).any()


@every_model
@torch.no_grad()
def test_every_position_sees_the_whole_past(kind: str, keys: dict[str, Any]) -> None:
    model = awake(kind, keys)
    tokens = some_ids(1, 9)
    changed = tokens.clone()
    changed[:, 0] = (changed[:, 0] - 2 + 11) % (VOCAB - 3) + 2
    difference = (logits_of(model, changed) - logits_of(model, tokens)).abs().amax(dim=-1)
    assert bool((difference > 1e-6).all())


@every_model
@torch.no_grad()
def test_padding_changes_nothing_and_is_never_read(kind: str, keys: dict[str, Any]) -> None:
    model = awake(kind, keys)
    lengths = torch.tensor([6, 2, 4])
    positions, tokens = positions_of(lengths, 6), some_ids(3, 6)
    padded = model(tokens, positions)
    for row, length in enumerate(lengths):
        alone = model(tokens[row : row + 1, :length])
        torch.testing.assert_close(padded[row, :length], alone[0], atol=1e-5, rtol=1e-5)
    other = tokens.where(positions != EMPTY, some_ids(3, 6, seed=9))
    assert not torch.equal(tokens, other)
    real = positions != EMPTY
    assert torch.equal(padded[real], model(other, positions)[real])


@every_model
@torch.no_grad()
def test_the_triangle_equals_the_mask_in_every_evaluation(kind: str, keys: dict[str, Any]) -> None:
    model = awake(kind, keys)
    tokens = some_ids(3, 20)
    plain = model(tokens, straight(tokens))
    torch.testing.assert_close(model(tokens), plain, atol=1e-5, rtol=1e-5)
    with tap.listen() as heard:
        torch.testing.assert_close(model(tokens), plain, atol=1e-5, rtol=1e-5)
    assert all(bool((w[0].triu(1) == 0).all()) for w in heard.values())
    with torch.enable_grad():
        by_kernel = model(tokens)
        use_explicit_below(100)
        try:
            torch.testing.assert_close(model(tokens), by_kernel, atol=1e-5, rtol=1e-5)
        finally:
            use_explicit_below(0)


@every_model
@torch.no_grad()
def test_documents_of_one_row_do_not_see_each_other(kind: str, keys: dict[str, Any]) -> None:
    model = awake(kind, keys)
    first, second = some_ids(2, 5), some_ids(2, 8, seed=4)
    row = torch.cat([first, second], dim=1)
    documents = torch.cat([torch.zeros_like(first), torch.ones_like(second)], dim=1)
    positions = torch.cat([straight(first), straight(second)], dim=1)
    together = model(row, positions, documents)
    torch.testing.assert_close(together[:, :5], model(first), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together[:, 5:], model(second), atol=1e-5, rtol=1e-5)
    leaking = model(row, positions)
    assert not torch.isclose(leaking[:, 5:], together[:, 5:], atol=1e-3).all()


# --- step by step = in chunks = all at once


@every_model
@pytest.mark.parametrize("cuts", [[1] * 7, [3, 1, 3], [7], [1, 5, 1], [2, 5]], ids=str)
@torch.no_grad()
def test_steps_and_chunks_equal_the_whole(kind: str, keys: dict[str, Any], cuts: list[int]) -> None:
    model = awake(kind, keys)
    tokens = some_ids(3, 7)
    state, parts = model.begin(3), []  # type: ignore[operator]
    for chunk in tokens.split(cuts, dim=1):
        logits, state = model.step(chunk, state)  # type: ignore[operator]
        parts.append(logits)
    whole = logits_of(model, tokens)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-4)


@every_model
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_a_padded_prompt_equals_the_prompt_alone(
    kind: str, keys: dict[str, Any], side: str
) -> None:
    model = awake(kind, keys)
    prompts = [some_ids(1, n, seed=n)[0] for n in (2, 4, 1)]
    tokens, positions = torch.full((3, 4), VOCAB - 1), torch.full((3, 4), EMPTY)
    for row, prompt in enumerate(prompts):
        n = len(prompt)
        place = slice(4 - n, 4) if side == "left" else slice(0, n)
        tokens[row, place], positions[row, place] = prompt, torch.arange(n)

    first, state = model.step(tokens, model.begin(3), positions)  # type: ignore[operator]
    going_on = some_ids(3, 3, seed=9)
    second, state = model.step(going_on[:, :1], state)  # type: ignore[operator]
    order = torch.tensor([2, 0, 1, 1])
    state = state.select(order, order)
    third, _ = model.step(going_on[order, 1:], state)  # type: ignore[operator]

    for row, prompt in enumerate(prompts):
        expected = logits_of(model, torch.cat([prompt, going_on[row]])[None])[0]
        moved = order.tolist().index(row)
        found = torch.cat([first[row][positions[row] != EMPTY], second[row], third[moved]])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@every_model
@torch.inference_mode()
def test_in_int8_it_does_not_matter_what_stands_beside_a_prompt(
    kind: str, keys: dict[str, Any]
) -> None:
    """Neither in one go nor step by step: no last bit is rounded to another number."""
    model = pack(awake(kind, {**keys, "max_length": 64}), "int8")
    lengths = [3, 40, 5, 12, 17, 1, 24, 9]
    prompts, more = some_ids(len(lengths), 40), some_ids(len(lengths), 20, seed=9)

    def steps(rows: slice, width: int) -> Tensor:
        filled = torch.tensor(lengths[rows])[:, None]
        places = torch.arange(width).expand(len(filled), width)
        positions = torch.where(places < filled, places, EMPTY)
        state = model.begin(len(filled))  # type: ignore[operator]
        logits, state = model.step(prompts[rows, :width], state, positions)  # type: ignore[operator]
        found = list(logits[torch.arange(len(filled)), filled[:, 0] - 1][:, None])
        for tokens in more[rows].split(1, dim=1):
            logits, state = model.step(tokens, state)  # type: ignore[operator]
            found = [torch.cat(pair) for pair in zip(found, logits, strict=True)]
        return torch.stack(found)

    together = steps(slice(None), 40)
    for row, length in enumerate(lengths):
        (alone,) = steps(slice(row, row + 1), length)
        torch.testing.assert_close(alone, together[row], atol=1e-5, rtol=1e-5)


@every_model
@torch.no_grad()
def test_a_state_selected_before_a_step_is_not_touched_by_it(
    kind: str, keys: dict[str, Any]
) -> None:
    model = awake(kind, keys)
    start = some_ids(2, 2)
    _, state = model.step(start, model.begin(2))  # type: ignore[operator]
    turned = torch.tensor([1, 0])
    kept = state.select(turned)
    model.step(some_ids(2, 3, seed=5), state)  # type: ignore[operator]
    tokens = some_ids(2, 1, seed=6)
    logits, _ = model.step(tokens, kept)  # type: ignore[operator]
    whole = logits_of(model, torch.cat([start[turned], tokens], dim=1))
    torch.testing.assert_close(logits[:, -1], whole[:, -1], atol=1e-4, rtol=1e-4)


@every_model
@torch.no_grad()
def test_the_last_logits_alone_are_those_of_all(kind: str, keys: dict[str, Any]) -> None:
    model = awake(kind, keys)
    tokens = some_ids(2, 6)
    last, _ = model.step(tokens, model.begin(2), last_only=True)  # type: ignore[operator]
    torch.testing.assert_close(last, logits_of(model, tokens)[:, -1:], atol=1e-5, rtol=1e-5)


# --- sizes and weights


@every_model
def test_the_parameter_formula_equals_what_is_built(kind: str, keys: dict[str, Any]) -> None:
    model = make(kind, keys)
    formula = registry.find("models", kind).parameter_count(model.config, vocab_size=VOCAB)
    assert formula == sum(p.numel() for p in model.parameters())


@every_model
@torch.no_grad()
def test_weights_survive_a_file(kind: str, keys: dict[str, Any], tmp_path: Path) -> None:
    model = make(kind, keys)
    save_file(weights_of(model), tmp_path / "model.safetensors")
    other = make(kind, keys)
    for parameter in other.parameters():
        parameter.uniform_(-1, 1)
    tokens = some_ids(2, 6)
    assert not torch.equal(other(tokens), model(tokens))
    load_weights(other, read_weights(tmp_path / "model.safetensors"))
    assert torch.equal(other(tokens), model(tokens))


@every_model
@torch.no_grad()
def test_packed_fp32_gives_the_same_logits(kind: str, keys: dict[str, Any]) -> None:
    model = awake(kind, keys)
    tokens = some_ids(2, 6)
    before = logits_of(model, tokens)
    packed = pack(model, "fp32")
    found = [m for m in packed.modules() if isinstance(m, PackedLinear)]
    assert len(found) == 2 * 4 + 1  # two blocks of four, and the head
    torch.testing.assert_close(logits_of(packed, tokens), before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("norm", "smaller"), [("pre", 16**-0.5), ("post", 1.0)])
def test_projections_into_the_residual_sum_begin_smaller_the_deeper_a_gpt2_is(
    norm: Any, smaller: float
) -> None:
    torch.manual_seed(7)
    config = gpt.Config(d_model=64, num_layers=8, num_heads=2, d_ff=128, max_length=8, norm=norm)
    model = gpt.build(config, vocab_size=200)
    for block in model.blocks:
        for linear, std in (
            (block.attention.query_key_value, 0.02),
            (block.attention.output, 0.02 * smaller),
            (block.feedforward.inner, 0.02),
            (block.feedforward.outer, 0.02 * smaller),
        ):
            assert float(linear.weight.std()) == pytest.approx(std, rel=0.06)
            assert not bool(linear.bias.any())
    for table in (model.embedding.weight, model.positions.table):
        assert float(table.std()) == pytest.approx(0.02, rel=0.1)


GPTS = [  # vocabulary and millions of parameters: nanoGPT's, GPT-1's and GPT-2's
    ("char-tiny", 65, 0.81),
    ("char", 65, 10.77),
    ("gpt1", 40_478, 116.53),
    ("gpt2", 50_257, 124.44),
    ("gpt2-medium", 50_257, 354.82),
    ("gpt2-large", 50_257, 774.03),
    ("gpt2-xl", 50_257, 1557.61),
]


@pytest.mark.parametrize(("preset", "vocabulary", "millions"), GPTS)
def test_the_presets_have_the_sizes_of_the_literature(
    preset: str, vocabulary: int, millions: float
) -> None:
    module = registry.find("models", "gpt")
    config = module.Config(preset=preset)
    count = module.parameter_count(config, vocab_size=vocabulary)
    assert count / 1e6 == pytest.approx(millions, abs=0.006)
    if count < 2e8:
        with torch.device("meta"):
            model = module.build(config, vocab_size=vocabulary)
        assert sum(p.numel() for p in model.parameters()) == count
