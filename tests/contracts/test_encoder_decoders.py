"""What every model promises, whatever it is made of; registering a model gets it tested here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, cast

import pytest
import torch
from kinds import of_family
from safetensors.torch import save_file
from torch import Tensor, nn

from polyhead import registry
from polyhead.attention.masks import EMPTY, positions_of
from polyhead.config import ModelSection
from polyhead.errors import RunError
from polyhead.layers import swift
from polyhead.layers.embeddings import OutputHead
from polyhead.layers.loss import sequence_loss
from polyhead.layers.packed import pack
from polyhead.layers.swift import Quick
from polyhead.runs.folder import load_weights, read_weights, weights_of

SOURCE_VOCAB, TARGET_VOCAB = 43, 40

# kind -> keys of a model small enough for these tests
SMALL: dict[str, dict[str, Any]] = {
    "transformer": {
        "d_model": 32,
        "num_layers": 2,
        "num_heads": 4,
        "d_ff": 64,
        "max_length": 24,
    },
    "rnn_seq2seq": {"d_model": 32, "num_layers": 2, "max_length": 24},
    "conv_seq2seq": {"d_model": 32, "num_layers": 3, "max_length": 24},
}
# kind -> nats above a uniform guess before training: half the variance of the logits
FIRST_EXCESS = {"post": 0.025, "pre": 0.5, "rnn_seq2seq": 0.05, "conv_seq2seq": 0.0}

# kind -> steps of Adam, and their rate, that learn one batch by heart
OVERFIT = {"transformer": (100, 5e-3), "rnn_seq2seq": (120, 1e-2), "conv_seq2seq": (60, 5e-3)}


def attending(score: str, **keys: Any) -> dict[str, Any]:
    """The model keys of an RNN with this attention."""
    inside = {key: keys.pop(key) for key in ("scope", "weights", "window") if key in keys}
    return {"attention": {"score": score, **inside}, **keys}


# kind -> variant -> (keys of the model section, one vocabulary for both languages)
VARIANTS: dict[str, dict[str, tuple[dict[str, Any], bool]]] = {
    "transformer": {
        "post-sinusoidal-shared": ({"norm": "post", "positions": "sinusoidal"}, True),
        "post-learned-unshared": ({"norm": "post", "positions": "learned"}, False),
        "post-integer-shared": ({"norm": "post", "positions": "integer"}, True),
        "pre-sinusoidal-unshared": ({"norm": "pre", "positions": "sinusoidal"}, False),
        "pre-learned-shared": ({"norm": "pre", "positions": "learned"}, True),
        "pre-none-unshared": ({"norm": "pre", "positions": "none"}, False),
        "pre-unscaled-shared": ({"norm": "pre", "scale_scores": False}, True),
        "post-biased-silu-shared": (
            {"activation": "silu", "scale_embeddings": False, "output_bias": True},
            True,
        ),
    },
    "rnn_seq2seq": {
        "general": (attending("general", input_feeding=False), True),
        "general-fed": (attending("general", dropout=0.0), False),
        "dot-gru": (attending("dot", input_feeding=False, cell="gru", d_embedding=24), True),
        "dot-fed-reversed": (attending("dot", bidirectional=False, reverse_source=True), False),
        "concat": (attending("concat", input_feeding=False, bidirectional=False), True),
        "additive": (attending("additive", input_feeding=False, cell="gru"), False),
        "additive-fed": (attending("additive", cell="lstm"), True),
        "local-m": (attending("general", scope="local-m", input_feeding=False), True),
        "local-p": (attending("general", scope="local-p", input_feeding=False), True),
        "local-p-fed": (attending("concat", scope="local-p", cell="gru"), False),
        "hard": (attending("general", weights="hard", input_feeding=False), True),
        "hard-fed": (attending("dot", weights="hard", num_layers=1), True),
        "none": (attending("none", input_feeding=False), True),
        "none-fed-gru": (attending("none", cell="gru", bidirectional=False), False),
        "variational": (attending("general", input_feeding=False, variational=True), True),
    },
    "conv_seq2seq": {
        "learned-shared": ({}, True),
        "learned-unshared": ({"d_embedding": 24}, False),
        "wide": ({"width": 5, "num_layers": 2, "positions": "none"}, True),
        "width-1": ({"width": 1}, False),
    },
}
CASES = [
    pytest.param(kind, keys, shared, id=f"{kind}-{name}")
    for kind, variants in VARIANTS.items()
    for name, (keys, shared) in variants.items()
]
every_model = pytest.mark.parametrize(("kind", "keys", "shared"), CASES)


@pytest.mark.parametrize("kind", registry.names("models"))
def test_every_model_can_start_from_a_run(kind: str) -> None:
    """model.from stands in ModelSection, which every Config is; training does the rest."""
    assert issubclass(registry.find("models", kind).Config, ModelSection)


def sizes_of(shared: bool) -> dict[str, Any]:
    source = TARGET_VOCAB if shared else SOURCE_VOCAB
    return {"source_vocab": source, "target_vocab": TARGET_VOCAB, "shared": shared}


def make(kind: str, keys: dict[str, Any], shared: bool, *, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(7)
    module = registry.find("models", kind)
    config = module.Config.model_validate({"kind": kind, **SMALL[kind], "dropout": dropout, **keys})
    model: nn.Module = module.build(config, **sizes_of(shared))
    return model.eval()


def some_ids(rows: int, length: int, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, TARGET_VOCAB - 1, (rows, length), generator=generator)


def straight(tokens: Tensor) -> Tensor:
    """Positions of rows without padding."""
    return torch.arange(tokens.shape[1]).expand(tokens.shape)


def hidden_of(model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    hidden: Tensor = model(source, straight(source), target, straight(target))
    return hidden


def logits_of(model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    logits: Tensor = model.head(hidden_of(model, source, target))  # type: ignore[operator]
    return logits


def loss_of(
    model: nn.Module, source: Tensor, target: Tensor, labels: Tensor, smoothing: float = 0.0
) -> Tensor:
    """The loss of training, the model's own included."""
    real = torch.ones_like(labels, dtype=torch.bool)
    output = model(source, straight(source), target, straight(target))
    head = cast(OutputHead, model.head)
    weight, bias = head.weight, head.bias
    return sequence_loss(output, weight, labels, real, bias=bias, smoothing=smoothing)[0]


def test_every_registered_model_has_variants_here() -> None:
    assert sorted(VARIANTS) == of_family("encoder-decoder")


# --- learning


@every_model
def test_gradient_reaches_every_parameter(kind: str, keys: dict[str, Any], shared: bool) -> None:
    model = make(kind, keys, shared, dropout=0.1).train()
    source, target = some_ids(6, 20), some_ids(6, 20, seed=4)
    loss_of(model, source, target, some_ids(6, 20, seed=5), smoothing=0.1).backward()
    unreached = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert unreached == []
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


@every_model
def test_one_batch_can_be_overfitted(kind: str, keys: dict[str, Any], shared: bool) -> None:
    model = make(kind, keys, shared).train()
    source, labels = some_ids(4, 6), some_ids(4, 6, seed=4)
    inputs = torch.cat([torch.full((4, 1), TARGET_VOCAB - 1), labels[:, :-1]], dim=1)
    steps, lr = OVERFIT[kind]
    adam = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(steps):
        loss = loss_of(model, source, inputs, labels)
        adam.zero_grad()
        (loss / labels.numel()).backward()
        adam.step()
    with torch.no_grad():
        logits = logits_of(model.eval(), source, inputs)
    final = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert final < 0.05
    assert torch.equal(logits.argmax(dim=-1), labels)


@every_model
@torch.no_grad()
def test_the_first_loss_is_that_of_a_guess(kind: str, keys: dict[str, Any], shared: bool) -> None:
    """Tied embeddings from N(0, 1/d) under a layer norm: logits of variance 1 cost half a nat.

    Those of a post-norm Transformer are from N(0, 0.02^2).
    """
    torch.manual_seed(7)
    module = registry.find("models", kind)
    config = module.Config.model_validate({"kind": kind, **SMALL[kind], **keys, "d_model": 128})
    vocabulary = 2000
    sizes = {"source_vocab": vocabulary, "target_vocab": vocabulary, "shared": shared}
    model = module.build(config, **sizes).eval()
    source, target, labels = torch.randint(2, vocabulary, (3, 32, 12))
    logits = logits_of(model, source, target).flatten(0, 1)
    excess = nn.functional.cross_entropy(logits, labels.flatten()).item() - math.log(vocabulary)
    family = keys.get("norm", "post") if kind == "transformer" else kind
    assert excess == pytest.approx(FIRST_EXCESS[family], abs=0.3 if family != "post" else 0.02)


# --- what a position may know


@every_model
@torch.no_grad()
def test_nothing_leaks_from_the_future(kind: str, keys: dict[str, Any], shared: bool) -> None:
    model = make(kind, keys, shared)
    source, target = some_ids(3, 7), some_ids(3, 9, seed=4)
    before = logits_of(model, source, target)
    for place in (1, 4, 8):
        changed = target.clone()
        changed[:, place:] = (changed[:, place:] - 2 + 11) % (TARGET_VOCAB - 3) + 2
        after = logits_of(model, source, changed)
        assert torch.equal(before[:, :place], after[:, :place])
        assert not torch.isclose(before[:, place], after[:, place]).all(dim=-1).any()


@every_model
@torch.no_grad()
def test_every_target_position_sees_the_whole_source(
    kind: str, keys: dict[str, Any], shared: bool
) -> None:
    model = make(kind, keys, shared)
    source, target = some_ids(1, 7), some_ids(1, 5, seed=4)
    before = logits_of(model, source, target)
    for place in (0, 6):
        changed = source.clone()
        changed[:, place] = (changed[:, place] - 2 + 11) % (TARGET_VOCAB - 3) + 2
        difference = (logits_of(model, changed, target) - before).abs().amax(dim=-1)
        assert bool((difference > 1e-6).all())


@every_model
@torch.no_grad()
def test_padding_changes_nothing(kind: str, keys: dict[str, Any], shared: bool) -> None:
    model = make(kind, keys, shared)
    source_lengths, target_lengths = torch.tensor([3, 8, 5]), torch.tensor([6, 2, 4])
    source, target = some_ids(3, 8), some_ids(3, 6, seed=4)
    source_positions = positions_of(source_lengths, 8)
    positions = positions_of(target_lengths, 6)
    padded = model(source, source_positions, target, positions)
    for row, (s, t) in enumerate(zip(source_lengths, target_lengths, strict=True)):
        alone = hidden_of(model, source[row : row + 1, :s], target[row : row + 1, :t])
        torch.testing.assert_close(padded[row, :t], alone[0], atol=1e-5, rtol=1e-5)


@every_model
@torch.no_grad()
def test_what_stands_in_padding_is_never_read(
    kind: str, keys: dict[str, Any], shared: bool
) -> None:
    model = make(kind, keys, shared)
    source_positions = positions_of(torch.tensor([3, 8]), 8)
    positions = positions_of(torch.tensor([6, 2]), 6)
    source, target = some_ids(2, 8), some_ids(2, 6, seed=4)
    first = model(source, source_positions, target, positions)
    other_source = source.where(source_positions != EMPTY, some_ids(2, 8, seed=8))
    other_target = target.where(positions != EMPTY, some_ids(2, 6, seed=9))
    assert not torch.equal(source, other_source)
    assert not torch.equal(target, other_target)
    second = model(other_source, source_positions, other_target, positions)
    real = positions != EMPTY
    assert torch.equal(first[real], second[real])


# --- step by step = in chunks = all at once


@every_model
@pytest.mark.parametrize("cuts", [[1] * 7, [3, 1, 3], [7], [1, 5, 1], [2, 5]], ids=str)
@torch.no_grad()
def test_steps_and_chunks_equal_the_whole(
    kind: str, keys: dict[str, Any], shared: bool, cuts: list[int]
) -> None:
    model = make(kind, keys, shared)
    source, target = some_ids(3, 6), some_ids(3, 7, seed=4)
    state = model.begin(source, straight(source))  # type: ignore[operator]
    parts = []
    for tokens in target.split(cuts, dim=1):
        logits, state = model.step(tokens, state)  # type: ignore[operator]
        parts.append(logits)
    torch.testing.assert_close(
        torch.cat(parts, dim=1), logits_of(model, source, target), atol=1e-4, rtol=1e-4
    )


@every_model
@torch.no_grad()
def test_several_hypotheses_a_sentence_may_be_reordered_and_sentences_leave(
    kind: str, keys: dict[str, Any], shared: bool
) -> None:
    model = make(kind, keys, shared)
    lengths = torch.tensor([6, 3])
    source = some_ids(2, 6)
    state = model.begin(source, positions_of(lengths, 6))  # type: ignore[operator]

    start = some_ids(2, 1, seed=4)
    _, state = model.step(start, state)  # type: ignore[operator]
    spread = torch.tensor([0, 0, 0, 1, 1, 1])
    state, so_far = state.select(spread), start[spread]

    for seed, order in ((5, [2, 0, 0, 4, 5, 3]), (6, [1, 1, 2, 3, 3, 3]), (7, [0, 1, 2, 3, 4, 5])):
        tokens = some_ids(6, 1, seed)
        logits, state = model.step(tokens, state)  # type: ignore[operator]
        so_far = torch.cat([so_far, tokens], dim=1)
        for row in range(6):
            sentence = source[row // 3 : row // 3 + 1, : lengths[row // 3]]
            whole = logits_of(model, sentence, so_far[row : row + 1])
            torch.testing.assert_close(logits[row, -1], whole[0, -1], atol=1e-4, rtol=1e-4)
        state, so_far = state.select(torch.tensor(order)), so_far[order]

    state, so_far = state.select(torch.tensor([5, 3, 4]), torch.tensor([1])), so_far[[5, 3, 4]]
    tokens = some_ids(3, 2, seed=8)
    logits, _ = model.step(tokens, state)  # type: ignore[operator]
    so_far = torch.cat([so_far, tokens], dim=1)
    whole = logits_of(model, source[1:, :3].expand(3, -1), so_far)
    torch.testing.assert_close(logits, whole[:, -2:], atol=1e-4, rtol=1e-4)


@every_model
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_a_padded_prompt_equals_the_prompt_alone(
    kind: str, keys: dict[str, Any], shared: bool, side: str
) -> None:
    model = make(kind, keys, shared)
    source = some_ids(3, 6)
    prompts = [some_ids(1, n, seed=n)[0] for n in (2, 4, 1)]
    tokens = torch.full((3, 4), TARGET_VOCAB - 1)
    positions = torch.full((3, 4), EMPTY)
    for row, prompt in enumerate(prompts):
        n = len(prompt)
        place = slice(4 - n, 4) if side == "left" else slice(0, n)
        tokens[row, place], positions[row, place] = prompt, torch.arange(n)

    state = model.begin(source, straight(source))  # type: ignore[operator]
    first, state = model.step(tokens, state, positions)  # type: ignore[operator]
    going_on = some_ids(3, 3, seed=9)
    second, state = model.step(going_on[:, :1], state)  # type: ignore[operator]
    order = torch.tensor([2, 0, 1])
    state = state.select(order, order)
    third, _ = model.step(going_on[order, 1:], state)  # type: ignore[operator]

    for row, prompt in enumerate(prompts):
        whole = torch.cat([prompt, going_on[row]])[None]
        expected = logits_of(model, source[row : row + 1], whole)[0]
        moved = order.tolist().index(row)
        found = torch.cat([first[row][positions[row] != EMPTY], second[row], third[moved]])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@every_model
@torch.no_grad()
def test_a_state_selected_before_a_step_is_not_touched_by_it(
    kind: str, keys: dict[str, Any], shared: bool
) -> None:
    model = make(kind, keys, shared)
    source = some_ids(2, 5)
    state = model.begin(source, straight(source))  # type: ignore[operator]
    _, state = model.step(some_ids(2, 2), state)  # type: ignore[operator]
    turned = torch.tensor([1, 0])
    kept = state.select(turned, turned)
    model.step(some_ids(2, 3, seed=5), state)  # type: ignore[operator]
    tokens = some_ids(2, 1, seed=6)
    logits, _ = model.step(tokens, kept)  # type: ignore[operator]
    whole = logits_of(model, source[turned], torch.cat([some_ids(2, 2)[turned], tokens], dim=1))
    torch.testing.assert_close(logits[:, -1], whole[:, -1], atol=1e-4, rtol=1e-4)


@every_model
@pytest.mark.parametrize("beam", [1, 3])
@torch.inference_mode()
def test_in_int8_it_does_not_matter_what_stands_beside_a_sentence(
    kind: str, keys: dict[str, Any], shared: bool, beam: int
) -> None:
    """Neither in forced decoding nor step by step: no last bit is rounded to another number."""
    model = pack(make(kind, {**keys, "max_length": 48}, shared), "int8")
    near = {"atol": 0.02, "rtol": 0.0}  # fp32 between int8 layers: see decision 0006
    if isinstance(model, Quick):
        model.quicken()
        near = {"atol": 1e-5, "rtol": 1e-4}
    lengths = [3, 40, 5, 12, 17, 1, 24, 9]
    source, target = some_ids(len(lengths), 40), some_ids(len(lengths), 30, seed=9)
    positions = positions_of(torch.tensor(lengths), 40)
    forward = positions_of(torch.tensor([30] * len(lengths)), 30)

    def hidden(rows: slice, width: int) -> Tensor:
        found: Tensor = model(
            source[rows, :width], positions[rows, :width], target[rows], forward[rows]
        )
        return found

    def steps(rows: slice, width: int) -> Tensor:
        state = model.begin(source[rows, :width], positions[rows, :width])  # type: ignore[operator]
        count = len(source[rows])
        order = torch.arange(count).repeat_interleave(beam)
        state, found = state.select(order), []
        for place in range(target.shape[1]):
            tokens = (target[rows, place, None] + torch.arange(beam)) % 20 + 2
            logits, state = model.step(tokens.view(-1, 1), state)  # type: ignore[operator]
            found.append(logits.view(count, beam, -1))
        return torch.stack(found, dim=1)

    for judge in (hidden, steps):
        together = judge(slice(None), 40)
        for row, length in enumerate(lengths):
            (alone,) = judge(slice(row, row + 1), length)
            torch.testing.assert_close(alone, together[row], **near)


@every_model
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@torch.inference_mode()
def test_quick_steps_equal_plain_ones(
    kind: str,
    keys: dict[str, Any],
    shared: bool,
    precision: Literal["fp32", "int8"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both as written and scripted, which they are from the tenth on here."""
    monkeypatch.setattr(swift, "WORTH_SCRIPTING", 10)
    plain, quick = (make(kind, keys, shared) for _ in range(2))
    if not isinstance(quick, Quick):
        pytest.skip(f"{kind} has no quick steps")
    if precision == "int8":
        plain, quick = pack(plain, "int8"), pack(quick, "int8")
    assert isinstance(quick, Quick)
    quick.quicken()
    source = some_ids(3, 6)
    positions = positions_of(torch.tensor([6, 3, 5]), 6)
    models = (plain, quick)
    states = [m.begin(source, positions) for m in models]  # type: ignore[operator]
    called = 0

    def counted(*inputs: object) -> Tensor:
        nonlocal called
        called += 1
        logits: Tensor = step(*inputs)
        return logits

    step, quick.swift = quick.swift, counted  # type: ignore[attr-defined]
    moves: list[tuple[list[int], list[int] | None]] = [
        ([0, 0, 1, 1, 2, 2], None),
        ([1, 0, 2, 2, 5, 5], None),
        ([1, 1, 4, 5], [0, 2]),
        ([0, 1, 2, 3], None),
        ([3], [1]),
    ]
    rows = 3
    for seed, (order, sentences) in enumerate(moves):
        for again in range(4):  # past the buffers' first room
            tokens = some_ids(rows, 1, seed=10 * seed + again)
            (expected, states[0]), (found, states[1]) = (
                m.step(tokens, state)  # type: ignore[operator]
                for m, state in zip(models, states, strict=True)
            )
            # in int8 a rounding of the inputs may fall to the other side
            near = 1e-4 if precision == "fp32" else 0.05
            torch.testing.assert_close(found, expected, atol=near, rtol=near)
        kept = None if sentences is None else torch.tensor(sentences)
        states = [state.select(torch.tensor(order), kept) for state in states]
        rows = len(order)
    assert called == 4 * len(moves)


# --- sizes and weights


@every_model
def test_the_parameter_formula_equals_what_is_built(
    kind: str, keys: dict[str, Any], shared: bool
) -> None:
    model = make(kind, keys, shared)
    formula = registry.find("models", kind).parameter_count(model.config, **sizes_of(shared))
    assert formula == sum(p.numel() for p in model.parameters())


@every_model
@torch.no_grad()
def test_weights_survive_a_file(
    kind: str, keys: dict[str, Any], shared: bool, tmp_path: Path
) -> None:
    model = make(kind, keys, shared)
    path = tmp_path / "model.safetensors"
    save_file(weights_of(model), path)
    other = make(kind, keys, shared)
    for parameter in other.parameters():
        parameter.uniform_(-1, 1)
    source, target = some_ids(2, 6), some_ids(2, 5, seed=4)
    assert not torch.equal(hidden_of(other, source, target), hidden_of(model, source, target))
    load_weights(other, read_weights(path))
    assert torch.equal(hidden_of(other, source, target), hidden_of(model, source, target))


@every_model
def test_weights_that_do_not_fit_are_named(kind: str, keys: dict[str, Any], shared: bool) -> None:
    model = make(kind, keys, shared)
    weights = weights_of(model)
    first, second, *_ = weights
    del weights[first]
    weights[second] = weights[second][:1]
    weights["nobody.knows"] = torch.zeros(1)
    with pytest.raises(RunError) as error:
        load_weights(model, weights)
    text = str(error.value)
    assert f"missing: {first}" in text
    assert "unknown: nobody.knows" in text
    assert f"{second}: " in text


TRANSFORMERS = [  # vocabulary and millions of parameters: Joey NMT's tiny; the paper's table 3
    ("tiny", 9_700, 2.57),
    ("base", 37_000, 63.1),
    ("big", 37_000, 214.2),
]


@pytest.mark.parametrize(("preset", "vocabulary", "millions"), TRANSFORMERS)
def test_the_presets_have_the_sizes_of_the_literature(
    preset: str, vocabulary: int, millions: float
) -> None:
    module = registry.find("models", "transformer")
    sizes = {"source_vocab": vocabulary, "target_vocab": vocabulary, "shared": True}
    with torch.device("meta"):
        model = module.build(module.Config(preset=preset), **sizes)
    built = sum(p.numel() for p in model.parameters())
    assert built == module.parameter_count(model.config, **sizes)
    assert built / 1e6 == pytest.approx(millions, rel=0.003)


def test_a_post_norm_transformer_starts_from_small_weights() -> None:
    """From Xavier's it learns far later; a pre-norm one keeps them, and unit embeddings."""
    spread = {}
    for norm in ("post", "pre"):
        keys = {"norm": norm, "d_model": 64, "num_layers": 2, "num_heads": 4, "d_ff": 128}
        model = make("transformer", keys, shared=True)
        spread[norm] = {
            name: float(weight.detach().std())
            for name, weight in model.named_parameters()
            if weight.ndim == 2
        }
    assert len(spread["post"]) > 10
    assert all(std == pytest.approx(0.02, rel=0.1) for std in spread["post"].values())
    assert spread["pre"]["target_embedding.weight"] == pytest.approx(64**-0.5, rel=0.1)
    assert min(spread["pre"].values()) > 0.08
