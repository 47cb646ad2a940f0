"""What every encoder without a decoder promises; registering one gets it tested here."""

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
from polyhead.attention.masks import EMPTY, positions_of
from polyhead.runs.folder import load_weights, read_weights, weights_of

VOCAB = 40
SMALL = {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_ff": 64, "max_length": 24}
every_model = pytest.mark.parametrize("kind", of_family("encoder"))


def make(kind: str, *, scale: float = 1.0, **keys: Any) -> nn.Module:
    torch.manual_seed(7)
    module = registry.find("models", kind)
    config = module.Config.model_validate({"kind": kind, **SMALL, "dropout": 0.0, **keys})
    model: nn.Module = module.build(config, vocab_size=VOCAB).eval()
    with torch.no_grad():  # large enough for every part to be seen in the output
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale)
    return model


def some_ids(rows: int, length: int, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, VOCAB - 1, (rows, length), generator=generator)


@every_model
def test_gradient_reaches_every_parameter(kind: str) -> None:
    model = make(kind, dropout=0.1).train()
    tokens = some_ids(6, 24)
    logits = model.head(model(tokens, None, tokens % 2).flatten(0, 1))  # type: ignore[operator]
    nn.functional.cross_entropy(logits, some_ids(6, 24, seed=5).flatten()).backward()
    unreached = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert unreached == []


@every_model
def test_one_batch_can_be_overfitted(kind: str) -> None:
    model = make(kind).train()
    labels = some_ids(4, 8)
    inputs = torch.where(torch.arange(8) % 3 == 1, 1, labels)
    masked = inputs == 1
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(100):
        logits = model.head(model(inputs)[masked])  # type: ignore[operator]
        loss = nn.functional.cross_entropy(logits, labels[masked])
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss < 0.05


@every_model
@torch.no_grad()
def test_the_first_loss_is_that_of_a_blind_guess(kind: str) -> None:
    model = make(kind)
    logits = model.head(model(some_ids(8, 20)).flatten(0, 1))  # type: ignore[operator]
    loss = nn.functional.cross_entropy(logits, some_ids(8, 20, seed=4).flatten())
    assert loss.item() == pytest.approx(math.log(VOCAB), abs=0.1)


@every_model
@torch.no_grad()
def test_every_position_sees_both_sides(kind: str) -> None:
    model = make(kind, scale=8)
    tokens = some_ids(1, 9)
    for place in (0, 4, 8):
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] - 2 + 11) % (VOCAB - 3) + 2
        difference = (model(changed) - model(tokens)).abs().amax(dim=-1)
        assert bool((difference > 1e-6).all())
    assert not torch.allclose(model(tokens), model(tokens, None, torch.ones_like(tokens)))


@every_model
@torch.no_grad()
def test_padding_changes_nothing_and_is_never_read(kind: str) -> None:
    model = make(kind, scale=8)
    lengths = torch.tensor([6, 2, 4])
    positions, tokens = positions_of(lengths, 6), some_ids(3, 6)
    padded = model(tokens, positions)
    for row, length in enumerate(lengths):
        alone = model(tokens[row : row + 1, :length])
        torch.testing.assert_close(padded[row, :length], alone[0], atol=1e-5, rtol=1e-5)
    real = positions != EMPTY
    other = tokens.where(real, some_ids(3, 6, seed=9))
    assert not torch.equal(tokens, other)
    assert torch.equal(padded[real], model(other, positions)[real])


@every_model
@torch.no_grad()
def test_weights_survive_a_file_and_the_formula_counts_them(kind: str, tmp_path: Path) -> None:
    model = make(kind)
    formula = registry.find("models", kind).parameter_count(model.config, vocab_size=VOCAB)
    assert formula == sum(p.numel() for p in model.parameters())
    save_file(weights_of(model), tmp_path / "model.safetensors")
    other = make(kind)
    for parameter in other.parameters():
        parameter.uniform_(-1, 1)
    load_weights(other, read_weights(tmp_path / "model.safetensors"))
    assert torch.equal(other(some_ids(2, 6)), model(some_ids(2, 6)))


@pytest.mark.parametrize("purpose", ["pretraining", "sequence", "tokens"])
@every_model
def test_every_head_has_gradients_and_the_parameters_of_the_formula(
    kind: str, purpose: str
) -> None:
    module = registry.find("models", kind)
    config = module.Config.model_validate({"kind": kind, **SMALL})
    keys: dict[str, Any] = {"purpose": purpose}
    if purpose != "pretraining":
        keys["outputs"] = 5
    model = module.build(config, vocab_size=VOCAB, **keys)
    formula = module.parameter_count(config, vocab_size=VOCAB, **keys)
    assert formula == sum(p.numel() for p in model.parameters())
    tokens = some_ids(3, 9)
    hidden = model(tokens, None, tokens % 2)
    if purpose == "pretraining":
        loss = model.head(hidden).pow(2).sum() + model.next_sentence(hidden).pow(2).sum()
    else:
        answers = model.answer(hidden)
        assert answers.shape == ((3, 5) if purpose == "sequence" else (3, 9, 5))
        loss = answers.pow(2).sum()
    loss.backward()
    unreached = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert [n for n in unreached if n != "positions.table"] == []


@pytest.mark.parametrize(("preset", "millions"), [("base", 109.48), ("large", 335.14)])
def test_the_presets_have_the_sizes_of_the_literature(preset: str, millions: float) -> None:
    module = registry.find("models", "bert")
    config = module.Config(preset=preset)
    pooler = config.d_model**2 + config.d_model  # which those counts hold
    count = module.encoder_parameter_count(config, vocab_size=30_522) + pooler
    assert count / 1e6 == pytest.approx(millions, abs=0.006)
