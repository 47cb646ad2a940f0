"""What recurrent models promise beyond the contracts of every encoder-decoder."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from polyhead.attention.masks import positions_of
from polyhead.layers.loss import sequence_loss
from polyhead.layers.recurrent import reversed_within
from polyhead.layers.reinforce import Reinforce
from polyhead.models.rnn_seq2seq import Config, RNNSeq2Seq, build

VOCAB = 11
SIZES = {"source_vocab": VOCAB, "target_vocab": VOCAB, "shared": True}


def make(attention: dict[str, Any], **keys: Any) -> RNNSeq2Seq:
    torch.manual_seed(4)
    values = {"d_model": 8, "dropout": 0.0, "attention": attention, **keys}
    return build(Config.model_validate(values), **SIZES)


def ids(*shape: int) -> Tensor:
    return torch.randint(1, VOCAB, shape, generator=torch.Generator().manual_seed(9))


# --- recipes


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"attention": {"score": "none", "scope": "local-p"}}, "local-p needs attention"),
        ({"attention": {"score": "none", "scope": "local-m"}}, "local-m needs attention"),
        ({"attention": {"score": "none", "weights": "hard"}}, "hard needs attention"),
        ({"attention": {"score": "dot", "width": 9}}, "dot has none"),
        ({"attention": {"score": "none", "width": 9}}, "none has none"),
        ({"attention": {"window": 3}}, "window: 3 needs scope: local-m or local-p"),
        ({"attention": {"score": "none", "window": 3}}, "or leave window at 10"),
        ({"attention": {"reward": 1.0}}, "reward: 1.0 needs weights: hard"),
        (
            {"attention": {"score": "none", "scope": "local-p", "weights": "hard"}},
            "leave scope at global; weights: hard needs attention",
        ),
        ({"d_model": 7, "bidirectional": True}, "choose an even d_model"),
    ],
)
def test_an_impossible_combination_is_one_clear_error(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Config.model_validate(keys)
    assert message in str(error.value)
    assert len(error.value.errors()) == 1


def test_every_other_combination_can_be_built() -> None:
    for score, scope, weights, feeding in itertools.product(
        ("dot", "general", "concat", "additive"),
        ("global", "local-m", "local-p"),
        ("soft", "hard"),
        (True, False),
    ):
        attention = {"score": score, "scope": scope, "weights": weights}
        model = make(attention, input_feeding=feeding).eval()
        source = ids(2, 5)
        places = torch.arange(5).expand(2, 5)
        assert model(source, places, source, places).shape == (2, 5, 8)


# --- the encoder


def test_a_reversed_source_is_read_from_its_last_token() -> None:
    order = reversed_within(torch.tensor([4, 2]), 4)
    assert order.tolist() == [[3, 2, 1, 0], [1, 0, 2, 3]]
    keys: dict[str, Any] = {"attention": {"score": "dot"}, "bidirectional": False}
    onward, backward = make(**keys), make(**keys, reverse_source=True)
    source, lengths = ids(2, 4), torch.tensor([4, 2])
    turned = source.gather(1, order)
    x = [model.source_embedding(s) for model, s in ((onward, turned), (backward, source))]
    positions = positions_of(lengths, 4)
    memory, summary = onward.encoder(x[0], positions)
    found, found_summary = backward.encoder(x[1], positions)
    assert torch.equal(summary, found_summary)
    assert torch.equal(memory.flip(1)[0], found[0])
    assert torch.equal(memory[1, :2].flip(0), found[1, :2])


def test_forget_gates_start_open_and_recurrent_weights_orthogonal() -> None:
    model = make({"score": "dot"}, bidirectional=False)
    layer = model.decoder.layers[0]
    assert isinstance(layer, nn.LSTM)
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    assert bias.view(4, 8)[1].tolist() == [1.0] * 8
    assert bias.view(4, 8)[[0, 2, 3]].abs().sum() == 0
    for gate in layer.weight_hh_l0.split(8):
        torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)


# --- steps


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_one_step_at_a_time_is_what_the_kernel_does(cell: str) -> None:
    model = make({"score": "dot"}, cell=cell, num_layers=2, input_feeding=False).eval()
    x = torch.randn(3, 6, 8)
    state = model.begin(ids(3, 4), torch.arange(4).expand(3, 4)).cells
    whole, last = model.decoder(x, state)
    for t in range(6):
        top, state = model.decoder.step(x[:, t], state, [])
        torch.testing.assert_close(top, whole[:, t])
    torch.testing.assert_close(state, last)


def test_additive_asks_with_the_previous_state_and_the_others_with_the_present_one() -> None:
    """Changing the last input changes what Luong's decoder sees, not what Bahdanau's does."""
    source, places = ids(1, 6), torch.arange(6)[None]
    first, other = ids(1, 3), ids(1, 3)
    other[0, 2] = other[0, 2] % (VOCAB - 1) + 1
    for score, same in (("additive", True), ("concat", False)):
        model = make({"score": score}, input_feeding=False).eval()
        seen = [_weights(model, source, places, target)[-1] for target in (first, other)]
        assert torch.equal(*seen) == same


def _weights(model: RNNSeq2Seq, source: Tensor, places: Tensor, target: Tensor) -> Tensor:
    from polyhead.attention.tap import listen

    with listen() as heard, torch.no_grad():
        model(source, places, target, torch.arange(target.shape[1])[None])
    return torch.cat([call[0, 0] for call in heard["decoder.0.cross"]])


def test_without_attention_all_steps_see_the_same_summary() -> None:
    model = make({"score": "none"}, input_feeding=False).eval()
    source, places = ids(1, 6), torch.arange(6)[None]
    assert _weights_heard(model, source, places) == []
    state = model.begin(source, places)
    assert state.source is None
    before = model.step(ids(1, 3), state)[0]
    changed = model.step(ids(1, 3), model.begin(ids(1, 6).flip(1), places))[0]
    assert bool(((before - changed).abs().amax(dim=-1) > 1e-5).all())


def _weights_heard(model: RNNSeq2Seq, source: Tensor, places: Tensor) -> list[str]:
    from polyhead.attention.tap import listen

    with listen() as heard:
        model(source, places, source, places)
    return list(heard)


def test_variational_dropout_drops_the_same_elements_at_every_step() -> None:
    model = make({"score": "dot"}, d_model=64, dropout=0.5, variational=True).train()
    factors = model.dropout.factors(torch.zeros(2, 5, 64), 2, 5, 64)
    assert factors is not None
    assert bool((factors == factors[:, :1]).all())
    assert 0 < float((factors[:, 0] == 0).float().mean()) < 1
    plain = make({"score": "dot"}, d_model=64, dropout=0.5).train()
    other = plain.dropout.factors(torch.zeros(2, 5, 64), 2, 5, 64)
    assert other is not None
    assert not bool((other == other[:, :1]).all())


# --- hard attention


def _expected_log_likelihood(model: RNNSeq2Seq, source: Tensor, labels: Tensor) -> Tensor:
    """sum over all choices of p(choices) log p(labels | choices): every way to attend, counted."""
    steps, keys = labels.shape[1], source.shape[1]
    attention = model.attention
    assert attention is not None
    places = torch.arange(keys)[None]
    inputs = torch.cat([torch.zeros(1, 1, dtype=torch.long), labels[:, :-1]], dim=1)
    total = torch.zeros((), dtype=torch.float64)
    for choices in itertools.product(range(keys), repeat=steps):
        state = model.begin(source, places)
        assert state.source is not None
        cells, fed = state.cells, state.fed
        log_choice, log_p = torch.zeros(()).double(), torch.zeros(()).double()
        for t, choice in enumerate(choices):
            x = model.target_embedding(inputs[:, t])
            given = torch.cat([x, fed], dim=-1) if model.feeds else x
            top, cells = model.decoder.step(given, cells, [])
            scores = attention.score(top[:, None, None], state.source.keys)[0, 0, 0]
            log_choice = log_choice + torch.log_softmax(scores, dim=0)[choice]
            context = state.source.values[:, 0, choice]
            fed = torch.tanh(model.combine(torch.cat([context, top], dim=-1)))
            log_p = log_p + torch.log_softmax(model.head(fed), dim=-1)[0, labels[0, t]]
        total = total + log_choice.exp() * log_p
    return total


@pytest.mark.parametrize("feeding", [False, True])
def test_the_reinforce_estimate_is_the_enumerated_gradient(feeding: bool) -> None:
    """Of the score's own weight, through which nothing but the choice depends."""
    attention = {
        "score": "general",
        "weights": "hard",
        "expected": 0.0,
        "entropy": 0.0,
        "reward": 1.0,
    }
    model = make(attention, input_feeding=feeding).double().train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)  # choices that matter
    source, labels = ids(1, 3), ids(1, 2) - 1
    weight = model.attention.score.project.weight  # type: ignore[union-attr]
    [wanted] = torch.autograd.grad(-_expected_log_likelihood(model, source, labels), [weight])

    copies, rounds = 4000, 12
    many = labels.expand(copies, -1)
    inputs = torch.cat([torch.zeros(copies, 1, dtype=torch.long), many[:, :-1]], dim=1)
    places, steps = torch.arange(3).expand(copies, 3), torch.arange(2).expand(copies, 2)
    torch.manual_seed(8)
    estimates = []
    for _ in range(rounds):
        output = model(source.expand(copies, -1), places, inputs, steps)
        loss, _ = sequence_loss(output, model.head.weight, many, steps >= 0)
        [gradient] = torch.autograd.grad(loss / copies, [weight])
        estimates.append(gradient)
    found = torch.stack(estimates)
    error = found.std(dim=0) / rounds**0.5
    far = (found.mean(dim=0) - wanted).abs() / error.clamp_min(1e-12)
    assert float(wanted.abs().max()) > 20 * float(error.max())  # or the test would say nothing
    assert float(far.max()) < 4.5
    assert float(far.square().mean()) < 2.5


def test_processes_that_chose_nothing_have_no_part_in_their_common_baseline() -> None:
    real = torch.tensor([[True, True, False]])
    log_p, chosen = torch.tensor([[-1.0, -3.0, 0.0]]), torch.tensor([[-0.5, -0.25, -9.0]])
    both = [Reinforce(entropy_weight=0.0) for _ in range(2)]
    for one, some in zip(both, (real, torch.zeros_like(real)), strict=True):
        one(log_p, chosen, torch.zeros(1, 3), some, lasting=False)
    for buffers in zip(*(one.buffers() for one in both), strict=True):
        mean = torch.stack(buffers).mean()
        for buffer in buffers:
            buffer.copy_(mean)
    for one in both:
        loss = one(log_p * 2, chosen, torch.zeros(1, 3), real, lasting=False)
        assert loss == pytest.approx(-(0 * -0.5 - 4 * -0.25))
        assert one.baseline == pytest.approx(-2 * 0.9 - 4 * 0.1)


def test_the_baseline_moves_and_lowers_the_variance_without_moving_the_mean() -> None:
    reinforce = Reinforce(entropy_weight=0.5)
    real = torch.tensor([[True, True, False]])
    log_p, chosen = torch.tensor([[-1.0, -3.0, 0.0]]), torch.tensor([[-0.5, -0.25, -9.0]])
    entropy = torch.tensor([[1.0, 2.0, 7.0]])
    first = reinforce(log_p, chosen, entropy, real, lasting=False)
    assert reinforce.baseline == -2
    # rewards 1 and -1 against the batch's own mean; padding takes no part
    assert first == pytest.approx(-(1 * -0.5 + -1 * -0.25) - 0.5 * 3)
    second = reinforce(log_p * 2, chosen, entropy, real, lasting=True)
    assert reinforce.baseline == pytest.approx(-2 * 0.9 - 4 * 0.1)
    # (-2+2) + (-6+2) and (-6+2): a choice answers for all that follows
    assert second == pytest.approx(-(-4 * -0.5 + -4 * -0.25) - 0.5 * 3)
