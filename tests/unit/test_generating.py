"""Going on from prompts: alone or side by side, past the context, until something stops it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from polyhead.config import TokenizerConfig
from polyhead.data import tokenizers
from polyhead.data.tokenizers import Tokenizer
from polyhead.decoding.generate import (
    Settings,
    before_stop,
    generate_ids,
    holds_stop,
    showable,
)
from polyhead.decoding.sampling import Sampler
from polyhead.errors import UsageError
from polyhead.models import gpt

LETTERS = "abcdefghij"
PROMPTS = [[3], [4, 5, 6, 7], [8, 3], [9, 9, 9]]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tokenizers.train(TokenizerConfig(kind="char", vocab_size=20), [LETTERS])


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> gpt.GPT:
    return small(tokenizer)


def small(tokenizer: Tokenizer) -> gpt.GPT:
    """A random model that means what it says, and does not end soon."""
    torch.manual_seed(4)
    config = gpt.Config(d_model=16, num_layers=2, num_heads=2, d_ff=32, max_length=12)
    model = gpt.build(config, vocab_size=tokenizer.size).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(15)
        model.embedding.weight[tokenizer.end_id] = 0
    return model


def greedy_by_hand(model: gpt.GPT, tokenizer: Tokenizer, prompt: list[int], count: int) -> Any:
    """The likeliest tokens by whole forward passes, the context halved where it is full."""
    window, written, total = list(prompt), [], 0.0
    with torch.no_grad():
        while len(written) < count:
            if len(window) > 12:
                window = window[-6:]
            logits = model.head(model(torch.tensor([window])))[0, -1]
            log_p = torch.log_softmax(logits, dim=-1)
            log_p[tokenizer.never] = float("-inf")
            token = int(log_p.argmax())
            total += float(log_p[token])
            if token == tokenizer.end_id:
                return written, total, "stop"
            written.append(token)
            window.append(token)
    return written, total, "length"


def test_prompts_side_by_side_go_on_as_alone_and_past_the_context(
    model: gpt.GPT, tokenizer: Tokenizer
) -> None:
    expected = [greedy_by_hand(model, tokenizer, p, 30) for p in PROMPTS]
    assert any(len(tokens) > 24 for tokens, _, _ in expected), "nothing goes past the context"
    for rows in (1, 3, 32):
        found = generate_ids(model, PROMPTS, tokenizer, Settings(max_tokens=30, batch_rows=rows))
        for (one,), (tokens, total, reason) in zip(found, expected, strict=True):
            assert (one.tokens, one.finish_reason) == (tokens, reason)
            assert one.log_probability == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize(
    "keys",
    [{"stop": ("cccd", "da")}, {"repetition_penalty": 1.5}, {"no_repeat_ngram": 3}],
    ids=lambda keys: next(iter(keys)),
)
@pytest.mark.parametrize("copies", [1, 3])
def test_what_stops_or_hinders_one_row_past_the_context_is_nothing_to_the_others(
    model: gpt.GPT, tokenizer: Tokenizer, keys: dict[str, Any], copies: int
) -> None:
    def written(prompts: list[list[int]], rows: int, **keys: Any) -> list[tuple[list[int], str]]:
        drawn = {"sampler": Sampler(seed=3), "copies": copies} if copies > 1 else {}
        settings = Settings(max_tokens=40, batch_rows=rows, **keys, **drawn)
        found = generate_ids(model, prompts, tokenizer, settings)
        assert all(len(several) == copies for several in found)
        return [(one.tokens, one.finish_reason) for several in found for one in several]

    alone = [one for prompt in PROMPTS for one in written([prompt], 1, **keys)]
    assert alone == written(PROMPTS, 32, **keys) == written(PROMPTS, 3, **keys)
    past = [tokens for tokens, _ in alone if len(tokens) > 12]
    assert past, "nothing goes past the context"
    if "stop" in keys:
        assert any(tokenizer.text(tokens).endswith(keys["stop"]) for tokens in past)
    assert alone != written(PROMPTS, 32), "nothing is changed by it"


def test_draws_depend_on_the_seed_and_the_prompt_alone(
    model: gpt.GPT, tokenizer: Tokenizer
) -> None:
    def drawn(prompts: list[list[int]], seed: int, rows: int) -> list[list[int]]:
        settings = Settings(max_tokens=20, sampler=Sampler(seed=seed), copies=2, batch_rows=rows)
        found = generate_ids(model, prompts, tokenizer, settings)
        return [one.tokens for several in found for one in several]

    together = drawn(PROMPTS, 1, 32)
    assert together == drawn(PROMPTS, 1, 3)
    assert together[2:4] == drawn(PROMPTS[1:2], 1, 1)
    assert together != drawn(PROMPTS, 2, 32)
    assert together[0] != together[1]


def test_every_token_is_heard_as_it_comes(model: gpt.GPT, tokenizer: Tokenizer) -> None:
    heard: dict[int, list[list[int]]] = {}
    found = generate_ids(
        model,
        PROMPTS,
        tokenizer,
        Settings(max_tokens=5),
        hear=lambda row, tokens: heard.setdefault(row, []).append(tokens),
    )
    for row, (one,) in enumerate(found):
        assert heard[row] == [one.tokens[: i + 1] for i in range(len(one.tokens))]


def test_a_stop_text_ends_a_continuation(model: gpt.GPT, tokenizer: Tokenizer) -> None:
    ((plain,),) = generate_ids(model, [[4, 5]], tokenizer, Settings(max_tokens=12))
    text = tokenizer.text(plain.tokens)
    stop = text[3:5]
    ((ended,),) = generate_ids(
        model, [[4, 5]], tokenizer, Settings(max_tokens=12, stop=("zz", stop))
    )
    assert ended.finish_reason == "stop"
    assert tokenizer.text(ended.tokens) == text[: text.index(stop) + 2]
    assert before_stop(text, ("zz", stop)) == text[: text.index(stop)]


@pytest.mark.parametrize("kind", ["word", "wordpiece", "unigram"])
def test_a_stop_text_may_begin_with_the_space_after_the_prompt(kind: Any) -> None:
    cutter = tokenizers.train(
        TokenizerConfig(kind=kind, vocab_size=40), ["cat dog hen cow pig fox"] * 9
    )
    prompt, cat = cutter.encode("dog hen"), cutter.encode("cat")
    assert holds_stop(prompt, cat, (" c",), cutter)
    assert not holds_stop(prompt, cat, (" d",), cutter)
    assert not holds_stop([cutter.end_id], cat, (" c",), cutter), "a document begins without"
    model = small(cutter)
    within = [not label.startswith("▁") for label in cutter.labels(range(cutter.size))]
    with torch.no_grad():
        model.embedding.weight[within] = 0  # it begins a word each time
    ((free,),) = generate_ids(model, [prompt], cutter, Settings(max_tokens=4))
    assert cutter.text_after(prompt, free.tokens[:1]).startswith(" ")
    stop = cutter.text_after(prompt, free.tokens[:1])[:2]
    ((ended,),) = generate_ids(model, [prompt], cutter, Settings(max_tokens=4, stop=(stop,)))
    assert (ended.tokens, ended.finish_reason) == (free.tokens[:1], "stop")
    beams = Settings(max_tokens=4, beam=3, stop=(" ",))
    ((best,),) = generate_ids(model, [prompt], cutter, beams)
    assert best.finish_reason == "stop"
    assert " " not in cutter.text_after(prompt, best.tokens[:-1])


def test_what_could_still_be_taken_back_is_not_shown() -> None:
    assert showable("hello", ()) == 5
    assert showable("hello wor", ("world",)) == 5
    assert showable("hello world!", ("world",)) == 6
    assert showable("가\ufffd", ()) == 1


def test_a_repetition_penalty_and_forbidden_ngrams_change_what_is_written(
    model: gpt.GPT, tokenizer: Tokenizer
) -> None:
    def written(**keys: Any) -> list[int]:
        ((one,),) = generate_ids(model, [[4]], tokenizer, Settings(max_tokens=30, **keys))
        return [4, *one.tokens]

    plain, apart = written(), written(no_repeat_ngram=2)
    pairs = list(pairwise(plain))
    assert len(set(pairs)) < len(pairs), "nothing is repeated anyway"
    pairs = list(pairwise(apart))
    assert len(set(pairs)) == len(pairs)
    assert len(set(written(repetition_penalty=50.0)[:7])) > len(set(plain[:7]))


def test_a_beam_finds_no_less_probable_text_than_greedy(
    model: gpt.GPT, tokenizer: Tokenizer
) -> None:
    greedy = generate_ids(model, PROMPTS, tokenizer, Settings(max_tokens=6))
    beams = generate_ids(model, PROMPTS, tokenizer, Settings(max_tokens=6, beam=30))
    for (first,), (best,) in zip(greedy, beams, strict=True):
        assert best.log_probability >= first.log_probability - 1e-4
    alone = [generate_ids(model, [p], tokenizer, Settings(max_tokens=6, beam=30)) for p in PROMPTS]
    assert [b[0].tokens for b in beams] == [a[0][0].tokens for a in alone]


def test_a_beam_ends_before_a_stop_text(model: gpt.GPT, tokenizer: Tokenizer) -> None:
    settings = Settings(max_tokens=6, beam=30, stop=("zz", "f"))
    found = generate_ids(model, PROMPTS, tokenizer, settings)
    for (best,), prompt in zip(found, PROMPTS, strict=True):
        text = tokenizer.text(best.tokens)
        assert best.finish_reason == "stop"
        assert text == "" or text.index("f") == len(text) - 1
        written = best.tokens if text else [tokenizer.end_id]
        total, window = 0.0, list(prompt)
        for token in written:
            with torch.no_grad():
                logits = model.head(model(torch.tensor([window])))[0, -1]
            total += float(torch.log_softmax(logits, dim=-1)[token])
            window.append(token)
        assert best.log_probability == pytest.approx(total, abs=1e-3)
    assert any(one.tokens for several in found for one in several), "none comes to a stop text"
    alone = [generate_ids(model, [p], tokenizer, settings) for p in PROMPTS]
    assert [b[0].tokens for b in found] == [a[0][0].tokens for a in alone]


def test_min_p_keeps_what_is_nearly_as_probable_as_the_best() -> None:
    p = torch.tensor([[0.5, 0.26, 0.2, 0.04]])
    drawn: set[int] = set()
    for length in range(200):
        draw: Tensor = Sampler(min_p=0.5)(p.log(), torch.tensor([7]), length)
        drawn.add(int(draw))
    assert drawn == {0, 1}
    with pytest.raises(UsageError, match=r"min-p 1\.5 is not between 0 and 1"):
        Sampler(min_p=1.5)
