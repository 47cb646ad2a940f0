"""Greedy, beam and sampling over anything that takes a step, checked against brute force."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polyhead.config import TokenizerConfig
from polyhead.data.tokenizers import END_ID, UNKNOWN_ID, Tokenizer, train
from polyhead.decoding.constraints import all_of, begin_with, no_repeat
from polyhead.decoding.sampling import Sampler, gumbel
from polyhead.decoding.search import (
    Hypothesis,
    Vocabulary,
    beam_search,
    length_penalty,
    one_by_one,
)
from polyhead.decoding.translate import Options, translate_ids
from polyhead.errors import UsageError
from polyhead.models import transformer

END, START = 0, 5
VOCABULARY = Vocabulary(start=START, end=END)
SIZE = 5


@dataclass(frozen=True)
class ChainState:
    """Which sentence each row belongs to, and all its tokens, as a model would know them."""

    sentence: Tensor
    history: Tensor
    sentences: int

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> ChainState:
        kept = self.sentences if sentences is None else len(sentences)
        return replace(
            self, sentence=self.sentence[rows], history=self.history[rows], sentences=kept
        )


class Chain:
    """Random logits that depend on nothing but the sentence and the last two tokens."""

    def __init__(self, sentences: int, seed: int):
        generator = torch.Generator().manual_seed(seed)
        self.logits = 2 * torch.randn(sentences, SIZE + 1, SIZE + 1, SIZE, generator=generator)
        self.sentences = sentences
        self.rows_per_step: list[int] = []

    def begin(self) -> ChainState:
        rows = torch.arange(self.sentences)
        return ChainState(rows, torch.full((self.sentences, 1), START), self.sentences)

    def step(self, tokens: Tensor, state: ChainState) -> tuple[Tensor, ChainState]:
        assert tokens.shape == (len(state.history), 1)
        assert len(tokens) % state.sentences == 0  # as many rows for each sentence
        self.rows_per_step.append(len(tokens))
        history = torch.cat([state.history, tokens], dim=1)
        logits = self.logits[state.sentence, history[:, -2], history[:, -1]]
        return logits[:, None], replace(state, history=history)

    def log_probability(self, sentence: int, tokens: list[int], never: tuple[int, ...]) -> float:
        total, before, last = 0.0, START, START
        for token in tokens:
            log_p = torch.log_softmax(self.logits[sentence, before, last], dim=-1)
            total += -math.inf if token in never else float(log_p[token])
            before, last = last, token
        return total

    def best(
        self, sentence: int, limit: int, alpha: float, never: tuple[int, ...] = ()
    ) -> list[tuple[float, list[int], bool]]:
        """Every output by brute force, best first: (score, tokens without the end, ended)."""
        found = []
        others = [t for t in range(SIZE) if t != END]
        for length in range(1, limit + 1):
            for body in product(others, repeat=length - 1):
                found.append(([*body, END], True))
        found += [(list(body), False) for body in product(others, repeat=limit)]
        scored = [
            (
                self.log_probability(sentence, tokens, never) / ((5 + len(tokens)) / 6) ** alpha,
                tokens[:-1] if ended else tokens,
                ended,
            )
            for tokens, ended in found
        ]
        return sorted((s for s in scored if s[0] > -math.inf), key=lambda s: -s[0])


def beams(chain: Chain, limits: list[int], **options: object) -> list[list[Hypothesis]]:
    options = {"beam": 400, "alpha": 0.6, "vocabulary": VOCABULARY} | options
    vocabulary = options.pop("vocabulary")
    return beam_search(chain.step, chain.begin(), torch.tensor(limits), vocabulary, **options)


def greedy(chain: Chain, limits: list[int], **options: object) -> list[Hypothesis]:
    options = {"vocabulary": VOCABULARY} | options
    vocabulary = options.pop("vocabulary")
    return one_by_one(chain.step, chain.begin(), torch.tensor(limits), vocabulary, **options)


# --- beam search against brute force


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_a_beam_wide_enough_finds_the_best_of_all_outputs(seed: int, alpha: float) -> None:
    chain = Chain(3, seed)
    limits = [4, 3, 1]
    for sentence, hypotheses in enumerate(beams(chain, limits, alpha=alpha)):
        expected = chain.best(sentence, limits[sentence], alpha)
        for found, (score, tokens, ended) in zip(hypotheses[:20], expected[:20], strict=True):
            assert found.tokens == tokens
            assert found.ended == ended
            assert found.score == pytest.approx(score, abs=1e-4)


def test_a_beam_ends_with_what_stops_it() -> None:
    ends, chain = torch.tensor([3, 2, 3]), Chain(3, 2)  # each sentence has its own
    found = beams(chain, [4, 4, 2], alpha=0.0, stops=lambda of, rows: rows[:, -1] == ends[of])
    for sentence, hypotheses in enumerate(found):
        limit, stop = [4, 4, 2][sentence], int(ends[sentence])
        others = [t for t in range(SIZE) if t not in (END, stop)]
        stopped = [b for n in range(limit) for b in product(others, repeat=n)]
        outputs = {(*body, t) for body in stopped for t in (END, stop)}
        outputs |= set(product(others, repeat=limit))
        best = sorted(outputs, key=lambda o: -chain.log_probability(sentence, list(o), ()))
        for one, output in zip(hypotheses[:20], best[:20], strict=True):
            assert one.tokens == [t for t in output if t != END]
            assert one.ended == (output[-1] in (END, stop))
            total = chain.log_probability(sentence, list(output), ())
            assert one.log_probability == pytest.approx(total, abs=1e-4)
    narrow = beams(chain, [4] * 3, beam=1, stops=lambda _, rows: rows[:, -1] < SIZE)
    assert all(one.ended and len(one.tokens) < 2 for several in narrow for one in several)


def by_the_book(
    chain: Chain, sentence: int, limit: int, beam: int, alpha: float
) -> list[tuple[float, list[int], bool]]:
    """Beam search for one sentence, as its docstring says, in plain lists."""
    running: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[tuple[float, list[int], bool]] = []
    for length in range(1, limit + 1):
        penalty = ((5 + length) / 6) ** alpha
        candidates = [
            (chain.log_probability(sentence, [*body, token], ()), [*body, token])
            for _, body in running
            for token in range(SIZE)
        ]
        candidates.sort(key=lambda c: -c[0])
        ending = [(t / penalty, b[:-1], True) for t, b in candidates[:beam] if b[-1] == END]
        finished = sorted([*finished, *ending], key=lambda f: -f[0])[:beam]
        running = [c for c in candidates if c[1][-1] != END][:beam]
        if len(finished) == beam and finished[-1][0] > running[0][0] / penalty:
            return finished
    cut = [(t / penalty, b, False) for t, b in running]
    return sorted([*finished, *cut], key=lambda f: -f[0])[:beam]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("beam", [1, 2, 3, 5])
@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_a_beam_of_any_width_searches_by_the_book(seed: int, beam: int, alpha: float) -> None:
    chain, limits = Chain(4, seed), [7, 3, 7, 1]
    chain.logits[:2, ..., END] += 1.5  # sentences that end early, and others that do not
    for sentence, hypotheses in enumerate(beams(chain, limits, beam=beam, alpha=alpha)):
        expected = by_the_book(chain, sentence, limits[sentence], beam, alpha)
        assert [(h.tokens, h.ended) for h in hypotheses] == [(t, e) for _, t, e in expected]
        assert [h.score for h in hypotheses] == pytest.approx(
            [score for score, _, _ in expected], abs=1e-4
        )


@pytest.mark.parametrize("seed", range(6))
def test_a_narrow_beam_never_beats_brute_force_and_is_sorted(seed: int) -> None:
    chain = Chain(4, seed)
    for sentence, hypotheses in enumerate(beams(chain, [4] * 4, beam=3)):
        known = {(*t, e): s for s, t, e in chain.best(sentence, 4, 0.6)}
        scores = [h.score for h in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({(*h.tokens, h.ended) for h in hypotheses}) == len(hypotheses) == 3
        for h in hypotheses:
            assert h.score == pytest.approx(known[(*h.tokens, h.ended)], abs=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_a_score_is_the_log_probability_over_the_length_penalty(alpha: float) -> None:
    chain = Chain(3, 1)
    for sentence, hypotheses in enumerate(beams(chain, [4] * 3, alpha=alpha, beam=4)):
        for h in hypotheses:
            tokens = [*h.tokens, END] if h.ended else h.tokens
            log_p = chain.log_probability(sentence, tokens, ())
            assert h.log_probability == pytest.approx(log_p, abs=1e-5)
            assert h.score == pytest.approx(log_p / ((5 + len(tokens)) / 6) ** alpha, abs=1e-5)


def test_the_length_penalty_is_gnmts() -> None:
    assert length_penalty(1, 0.6) == 1.0
    assert length_penalty(7, 1.0) == 2.0
    assert length_penalty(7, 0.0) == 1.0
    assert length_penalty(torch.tensor([7, 13]), 1.0).tolist() == [2.0, 3.0]


@pytest.mark.parametrize("seed", range(5))
def test_greedy_search_is_a_beam_of_one(seed: int) -> None:
    chain, limits = Chain(5, seed), [6, 5, 4, 1, 6]
    alone = greedy(chain, limits, alpha=0.6)
    for h, (b,) in zip(alone, beams(chain, limits, beam=1), strict=True):
        assert (h.tokens, h.ended) == (b.tokens, b.ended)
        assert h.score == pytest.approx(b.score, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("beam", [1, 2, 4])
def test_what_leaves_the_batch_changes_nothing_for_the_others(seed: int, beam: int) -> None:
    chain, limits = Chain(6, seed), [2, 8, 5, 1, 8, 3]
    together = beams(chain, limits, beam=beam)
    for sentence, limit in enumerate(limits):
        single = Chain(6, seed)
        single.logits = single.logits[sentence : sentence + 1]
        single.sentences = 1
        (alone,) = beams(single, [limit], beam=beam)
        assert [h.tokens for h in alone] == [h.tokens for h in together[sentence]]
        assert [h.score for h in alone] == pytest.approx(
            [h.score for h in together[sentence]], abs=1e-5
        )


def test_finished_rows_leave_the_batch() -> None:
    chain = Chain(6, 0)
    greedy(chain, [1, 2, 3, 4, 5, 6])
    assert chain.rows_per_step[0] == 6
    assert chain.rows_per_step == sorted(chain.rows_per_step, reverse=True)
    assert chain.rows_per_step[-1] < 6


def test_a_beam_stops_once_nothing_running_can_win() -> None:
    chain = Chain(2, 0)
    chain.logits[..., END] += 9.0
    found = beams(chain, [50, 50], beam=3)
    assert all(h.ended for group in found for h in group)
    assert len(chain.rows_per_step) < 8


@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_no_output_is_longer_than_its_limit_and_only_ended_ones_are_shorter(search: str) -> None:
    chain, limits = Chain(5, 2), [1, 2, 3, 7, 4]
    chain.logits[..., END] -= 4.0
    if search == "greedy":
        groups = [[h] for h in greedy(chain, limits)]
    else:
        groups = beams(chain, limits, beam=3)
    cut = 0
    for limit, hypotheses in zip(limits, groups, strict=True):
        assert hypotheses
        for h in hypotheses:
            assert END not in h.tokens
            assert len(h.tokens) + h.ended <= limit
            assert h.ended or len(h.tokens) == limit
            cut += not h.ended
    assert cut > 0


@pytest.mark.parametrize("seed", range(3))
def test_ids_that_must_never_come_never_come(seed: int) -> None:
    chain = Chain(4, seed)
    chain.logits[..., 2] += 3.0
    vocabulary = replace(VOCABULARY, never=(2, 3))
    for sentence, hypotheses in enumerate(beams(chain, [4] * 4, vocabulary=vocabulary)):
        expected = chain.best(sentence, 4, 0.6, never=(2, 3))
        assert hypotheses[0].tokens == expected[0][1]
        assert len(hypotheses) == len(expected)
        assert all({2, 3}.isdisjoint(h.tokens) for h in hypotheses)
    assert all({2, 3}.isdisjoint(h.tokens) for h in greedy(chain, [6] * 4, vocabulary=vocabulary))
    drawn = greedy(chain, [6] * 4, vocabulary=vocabulary, choose=Sampler(seed=seed))
    assert all({2, 3}.isdisjoint(h.tokens) for h in drawn)


# --- constraints


def grams(tokens: list[int], size: int) -> Counter[tuple[int, ...]]:
    return Counter(zip(*(tokens[i:] for i in range(size)), strict=False))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_ngram_stands_twice(size: int) -> None:
    chain = Chain(5, 3)
    chain.logits[..., END] -= 6.0
    free = greedy(chain, [9] * 5)
    assert any(max(grams(h.tokens, size).values()) > 1 for h in free)
    restrict = no_repeat(size)
    bound = greedy(chain, [9] * 5, restrict=restrict)
    bound += [h for group in beams(chain, [9] * 5, beam=3, restrict=restrict) for h in group]
    for h in bound:
        assert max(grams(h.tokens, size).values(), default=1) == 1


def test_the_first_repeat_of_an_ngram_is_what_is_forbidden() -> None:
    log_p = torch.zeros(2, SIZE)
    no_repeat(2)(log_p, torch.tensor([[1, 2, 3, 1], [1, 1, 2, 3]]))
    assert log_p[0].isinf().tolist() == [False, False, True, False, False]
    assert log_p[1].isinf().tolist() == [False] * SIZE


@pytest.mark.parametrize("prefix", [(3,), (2, 2), (1, 3, 2)])
def test_every_output_begins_with_the_prefix(prefix: tuple[int, ...]) -> None:
    chain = Chain(4, 1)
    restrict = begin_with(prefix)
    for sentence, hypotheses in enumerate(beams(chain, [4] * 4, restrict=restrict)):
        expected = [
            t for _, t, _ in chain.best(sentence, 4, 0.6) if tuple(t[: len(prefix)]) == prefix
        ]
        assert [h.tokens for h in hypotheses[:5]] == expected[:5]
    for h in greedy(chain, [6] * 4, restrict=restrict):
        assert tuple(h.tokens[: len(prefix)]) == prefix


def test_a_prefix_stands_even_where_its_token_could_never_come() -> None:
    chain = Chain(3, 1)
    vocabulary = replace(VOCABULARY, never=(2,))
    restrict = all_of([no_repeat(1), begin_with((2, 3))])
    for h in greedy(chain, [6] * 3, vocabulary=vocabulary, restrict=restrict):
        assert h.tokens[:2] == [2, 3]
        assert 2 not in h.tokens[2:]


def test_no_restrictions_are_none() -> None:
    assert all_of([]) is None


# --- sampling


def test_the_same_seed_draws_the_same_and_another_draws_otherwise() -> None:
    chain = Chain(20, 0)
    draws = [
        [h.tokens for h in greedy(chain, [6] * 20, choose=Sampler(seed=seed))] for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-3}], ids=str)
def test_a_sampler_left_no_choice_is_greedy(options: dict[str, float]) -> None:
    chain = Chain(10, 4)
    drawn = greedy(chain, [6] * 10, choose=Sampler(**options))
    assert [h.tokens for h in drawn] == [h.tokens for h in greedy(chain, [6] * 10)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.4, 0.3, 0.2, 0.1]),
        ({"temperature": 0.5}, [16 / 30, 9 / 30, 4 / 30, 1 / 30]),
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_p": 0.69}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_p": 0.71}, [4 / 9, 3 / 9, 2 / 9, 0]),
        ({"top_k": 9, "top_p": 1.0}, [0.4, 0.3, 0.2, 0.1]),
    ],
    ids=str,
)
def test_tokens_come_as_often_as_their_probability_says(
    options: dict[str, float], expected: list[float]
) -> None:
    count = 20_000
    order = [2, 0, 3, 1]  # the most probable token is not the first
    log_p = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    shuffled = torch.empty(4).index_copy_(0, torch.tensor(order), log_p)
    drawn = Sampler(seed=3, **options)(shuffled.expand(count, 4), torch.arange(count), 1)
    shares = torch.bincount(drawn, minlength=4)[order] / count
    for share, p in zip(shares.tolist(), expected, strict=True):
        assert share == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / count))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"temperature": 0}, "temperature"),
        ({"top_k": 0}, "top-k"),
        ({"top_p": 0}, "top-p"),
        ({"top_p": 1.1}, "top-p"),
    ],
    ids=str,
)
def test_impossible_sampling_options_are_refused(options: dict[str, float], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Sampler(**options)


# --- whatever it is batched with


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(5)
    config = transformer.Config(d_model=32, num_layers=2, num_heads=4, d_ff=64, max_length=64)
    model = transformer.build(config, source_vocab=300, target_vocab=300, shared=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.7)  # a sharper distribution, whose outputs differ
    return model.eval()


@pytest.fixture(scope="module")
def target() -> Tokenizer:
    tokenizer = train(TokenizerConfig(vocab_size=300), ["one two three 하나 둘 셋"] * 5)
    assert tokenizer.size <= 300
    return tokenizer


@pytest.fixture(scope="module")
def sources() -> list[np.ndarray]:
    random = np.random.default_rng(2)
    lengths = [3, 12, 1, 7, 20, 7, 5, 1, 15]
    return [np.append(random.integers(2, 250, n), END_ID).astype(np.int32) for n in lengths]


@pytest.mark.parametrize("beam", [1, 4])
def test_a_sentence_is_translated_the_same_whatever_it_is_batched_with(
    model: nn.Module, target: Tokenizer, sources: list[np.ndarray], beam: int
) -> None:
    options = Options(beam=beam, extra_length=8)
    together = translate_ids(model, sources, target, options)
    in_pieces = translate_ids(model, sources, target, replace(options, batch_tokens=40))
    for source, a, b in zip(sources, together, in_pieces, strict=True):
        (alone,) = translate_ids(model, [source], target, options)
        assert len(alone) == beam
        for other in (a, b):
            assert [h.tokens for h in other] == [h.tokens for h in alone]
            for x, y in zip(other, alone, strict=True):
                assert x.score == pytest.approx(y.score, abs=1e-4)
    assert len({tuple(group[0].tokens) for group in together}) > 3


def test_an_empty_source_has_no_hypothesis_and_order_is_kept(
    model: nn.Module, target: Tokenizer, sources: list[np.ndarray]
) -> None:
    empty = np.array([END_ID], np.int32)
    heard: list[int] = []
    found = translate_ids(
        model, [empty, *sources, empty], target, Options(beam=1, extra_length=4), heard.append
    )
    plain = translate_ids(model, sources, target, Options(beam=1, extra_length=4))
    assert found == [[], *plain, []]
    assert sum(heard) == len(sources) + 2
    assert translate_ids(model, [empty], target, Options()) == [[]]
    assert translate_ids(model, [], target, Options()) == []


def test_unknown_and_pad_are_never_written(
    model: nn.Module, target: Tokenizer, sources: list[np.ndarray]
) -> None:
    for group in translate_ids(model, sources, target, Options(beam=4, extra_length=8)):
        for h in group:
            assert {UNKNOWN_ID, target.pad_id}.isdisjoint(h.tokens)


def test_limits_follow_the_source_the_option_and_the_model(
    model: nn.Module, target: Tokenizer, sources: list[np.ndarray]
) -> None:
    limits = {
        Options(beam=1, extra_length=2): lambda n: n + 2,
        Options(beam=1, max_length=3): lambda n: min(n + 50, 3),
        Options(beam=1, extra_length=500): lambda n: 64,
    }
    for options, limit in limits.items():
        for source, (best,) in zip(
            sources, translate_ids(model, sources, target, options), strict=True
        ):
            assert len(best.tokens) + best.ended <= limit(len(source))
            assert best.ended or len(best.tokens) == limit(len(source))


def test_a_sample_does_not_depend_on_what_it_is_batched_with(
    model: nn.Module, target: Tokenizer
) -> None:
    sources = [np.array([*ids, END_ID], np.int32) for ids in ([5, 6], [7], [5, 6], [8, 9, 10], [7])]

    def drawn(rows: list[int], batch_tokens: int) -> list[list[int]]:
        options = Options(
            sampler=Sampler(seed=4), copies=2, extra_length=8, batch_tokens=batch_tokens
        )
        found = translate_ids(model, [sources[i] for i in rows], target, options)
        return [[h.tokens for h in group] for group in found]

    whole = drawn([0, 1, 2, 3, 4], 4096)
    assert drawn([0, 1, 2, 3, 4], 6) == whole
    assert [drawn([i], 4096)[0] for i in (0, 1, 3)] == [whole[i] for i in (0, 1, 3)]
    assert drawn([3, 0], 4096) == [whole[3], whole[0]]
    assert whole[0] != whole[2]  # the same text again is another draw
    assert whole[0][0] != whole[0][1]


def test_noise_is_gumbels_and_independent_over_rows_columns_and_lengths() -> None:
    streams = torch.arange(400)
    noise = gumbel(streams, 500)
    assert noise.isfinite().all()
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.02)
    assert float(noise.var()) == pytest.approx(1.6449, abs=0.05)
    assert torch.equal(gumbel(streams[7:8], 500)[0], noise[7])
    for table in (noise, noise.T):
        related = torch.corrcoef(table).fill_diagonal_(0).abs().max()
        assert float(related) < 6 / table.shape[1] ** 0.5


def test_a_source_has_as_many_samples_as_copies_best_first(
    model: nn.Module, target: Tokenizer, sources: list[np.ndarray]
) -> None:
    def draw() -> list[list[Hypothesis]]:
        options = Options(sampler=Sampler(seed=4), copies=3, extra_length=5)
        return translate_ids(model, sources, target, options)

    first = draw()
    assert draw() == first
    for group in first:
        assert len(group) == 3
        assert [h.score for h in group] == sorted((h.score for h in group), reverse=True)
    assert any(len({tuple(h.tokens) for h in group}) == 3 for group in first)


def test_a_prefix_is_scored_as_the_model_scores_it(
    model: nn.Module, target: Tokenizer, sources: list[np.ndarray]
) -> None:
    prefix = (7, 9)
    options = Options(beam=4, extra_length=6, prefix=prefix)
    found = translate_ids(model, sources[:2], target, options)
    for source, group in zip(sources, found, strict=False):
        for h in group:
            assert tuple(h.tokens[:2]) == prefix
            ids = [target.pad_id, *h.tokens, *([END_ID] if h.ended else [])]
            tokens = torch.tensor([ids])
            places = torch.arange(len(ids))[None]
            with torch.no_grad():
                hidden = model(
                    torch.from_numpy(source).long()[None],
                    torch.arange(len(source))[None],
                    tokens[:, :-1],
                    places[:, :-1],
                )
                log_p = torch.log_softmax(model.head(hidden), dim=-1)  # type: ignore[operator]
            expected = log_p[0].gather(1, tokens[0, 1:, None]).sum()
            assert h.log_probability == pytest.approx(expected.item(), abs=1e-3)
