"""How a language model goes on from prompts: batches of any lengths, past its longest context.

Learned positions make cached keys worthless once the context is full, so that a full row begins
anew with the last half of its tokens. Rows do not see each other: each goes on as it would alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from polyhead.data.batching import device_of
from polyhead.data.tokenizers import Tokenizer
from polyhead.decoding.constraints import no_repeat
from polyhead.decoding.sampling import Sampler
from polyhead.decoding.search import Vocabulary, beam_search

Hear = Callable[[int, list[int]], None]
"""(row, its tokens so far): called after every token of every row"""


@dataclass(frozen=True)
class Settings:
    """How to go on; without a sampler the likeliest token is taken, or the best of a beam."""

    max_tokens: int = 200
    sampler: Sampler | None = None
    beam: int = 1
    alpha: float = 0.0
    copies: int = 1  # continuations of each prompt
    stop: tuple[str, ...] = ()  # texts before which a continuation ends
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    batch_rows: int = 32


@dataclass(frozen=True)
class Continuation:
    """What follows a prompt: tokens without the end, log p of all that was written, and why it
    ended: "stop" (the end token or a stop text) or "length"."""

    tokens: list[int]
    log_probability: float
    finish_reason: str


@torch.inference_mode()
def generate_ids(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    tokenizer: Tokenizer,
    settings: Settings,
    *,
    context: int | None = None,
    hear: Hear | None = None,
) -> list[list[Continuation]]:
    """`copies` continuations of each prompt (one token at least, `context` at most), in order.

    `context` is what the model can look back on, by default its longest sequence.
    """
    limit = context or int(model.config.max_length)  # type: ignore[union-attr, arg-type]
    copies = settings.copies if settings.sampler is not None else 1
    rows = [list(prompt) for prompt in prompts for _ in range(copies)]
    keys = None
    if settings.sampler is not None:
        keys = settings.sampler.keys(prompts, copies).flatten()
    found: list[list[Continuation]] = []
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))  # little padding
    results: dict[int, list[Continuation]] = {}
    for first in range(0, len(rows), settings.batch_rows):
        chosen = order[first : first + settings.batch_rows]
        batch = [rows[row] for row in chosen]
        if settings.beam > 1 and settings.sampler is None:
            ended = _beams(model, batch, tokenizer, settings, limit)
        else:
            own = None if keys is None else keys[chosen]
            writing = _Writing(model, batch, tokenizer, settings, limit, own)
            numbered = None if hear is None else _renumbered(hear, chosen)
            ended = [[one] for one in writing.run(numbered)]
        results |= dict(zip(chosen, ended, strict=True))
    for first in range(0, len(rows), copies):
        found.append([one for row in range(first, first + copies) for one in results[row]])
    return found


def _renumbered(hear: Hear, rows: list[int]) -> Hear:
    return lambda row, tokens: hear(rows[row], tokens)


@dataclass
class _Row:
    number: int
    tokens: list[int]  # the prompt's and those written
    prompt: int  # how many are the prompt's
    begin: int = 0  # where the context begins: what stands before is forgotten
    total: float = 0.0

    @property
    def written(self) -> list[int]:
        return self.tokens[self.prompt :]


@dataclass
class _Writing:
    """Some rows that are written side by side, a token each at a time."""

    model: Any
    prompts: list[list[int]]
    tokenizer: Tokenizer
    settings: Settings
    limit: int
    keys: Tensor | None
    rows: list[_Row] = field(default_factory=list)

    def run(self, hear: Hear | None) -> list[Continuation]:
        self.rows = [_Row(i, list(p), len(p)) for i, p in enumerate(self.prompts)]
        found: dict[int, Continuation] = {}
        logits, state = prefill(self.model, [row.tokens for row in self.rows])
        for length in range(1, self.settings.max_tokens + 1):
            chosen, values = self._choose(logits[:, -1], length)
            kept = []
            for place, (row, token, value) in enumerate(
                zip(self.rows, chosen.tolist(), values.tolist(), strict=True)
            ):
                row.total += value
                reason = self._take(row, token, length)
                if hear is not None and token != self.tokenizer.end_id:
                    hear(row.number, row.written)
                if reason is None:
                    kept.append(place)
                else:
                    found[row.number] = Continuation(row.written, row.total, reason)
            if not kept:
                break
            if len(kept) < len(self.rows):
                state = state.select(torch.tensor(kept, device=chosen.device))
                chosen = chosen[kept]
                self.rows = [self.rows[place] for place in kept]
            if self._forget():
                logits, state = prefill(self.model, [r.tokens[r.begin :] for r in self.rows])
            else:
                logits, state = self.model.step(chosen[:, None], state)
        return [found[row] for row in range(len(self.prompts))]

    def _choose(self, logits: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """The next tokens [R] of logits [R,V], and their log-probabilities under the model."""
        settings = self.settings
        log_p = torch.log_softmax(logits.float(), dim=-1)
        log_p[:, list(self.tokenizer.never)] = float("-inf")
        wanted = log_p
        if settings.repetition_penalty != 1 or settings.no_repeat_ngram:
            wanted = self._discouraged(logits.float(), log_p)
        if settings.sampler is None or self.keys is None:
            chosen = wanted.argmax(dim=-1)
        else:
            own = self.keys[[row.number for row in self.rows]].to(logits.device)
            chosen = settings.sampler(wanted, own, length)
        return chosen, log_p.gather(1, chosen[:, None])[:, 0]

    def _discouraged(self, logits: Tensor, log_p: Tensor) -> Tensor:
        """Log-probabilities with what was written already made less likely, or impossible.

        Keskar et al. 2019 (CTRL), section 4.1: a positive logit is divided by the penalty, a
        negative one multiplied.
        """
        penalty = self.settings.repetition_penalty
        logits = logits.clone()
        for place, row in enumerate(self.rows):
            seen = torch.tensor(sorted(set(row.tokens)), device=logits.device)
            old = logits[place, seen]
            logits[place, seen] = torch.where(old > 0, old / penalty, old * penalty)
        wanted = torch.log_softmax(logits, dim=-1).masked_fill(log_p == float("-inf"), -torch.inf)
        if self.settings.no_repeat_ngram:
            restrict = no_repeat(self.settings.no_repeat_ngram)
            for place, row in enumerate(self.rows):
                restrict(
                    wanted[place : place + 1], torch.tensor([row.tokens], device=wanted.device)
                )
        return wanted

    def _take(self, row: _Row, token: int, length: int) -> str | None:
        """Add a token to a row; why the row ends with it, if it does."""
        if token == self.tokenizer.end_id:
            return "stop"
        row.tokens.append(token)
        stops = self.settings.stop
        if stops and holds_stop(row.tokens[: row.prompt], row.written, stops, self.tokenizer):
            return "stop"
        return "length" if length == self.settings.max_tokens else None

    def _forget(self) -> bool:
        """Let rows whose context is full begin anew with its last half; whether there were any."""
        full = [row for row in self.rows if len(row.tokens) - row.begin > self.limit]
        for row in full:
            row.begin = len(row.tokens) - max(1, self.limit // 2)
        return bool(full)


def prefill(model: Any, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Any]:
    """Logits [R,1,V] of what follows each row of tokens, and the state after them.

    Rows of different lengths are padded on the left, so that all end in the same slot.
    """
    width = max(map(len, rows))
    padding = [width - len(row) for row in rows]
    tokens = torch.tensor([[0] * n + list(row) for n, row in zip(padding, rows, strict=True)])
    device = device_of(model)
    positions = None
    if any(padding):
        places = torch.arange(width) - torch.tensor(padding)[:, None]
        positions = places.clamp(min=-1).to(device)
    return model.step(tokens.to(device), model.begin(len(rows)), positions, last_only=True)


@dataclass(frozen=True)
class _Read:
    """The state after the prompts, whose logits are there already: the first step is taken."""

    logits: Tensor
    state: Any


def _beams(
    model: Any,
    prompts: list[list[int]],
    tokenizer: Tokenizer,
    settings: Settings,
    limit: int,
) -> list[list[Continuation]]:
    """The best continuation of each prompt by beam search, within the context."""

    def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        if isinstance(state, _Read):
            return state.logits, state.state
        return model.step(tokens, state)

    def stops(which: Tensor, rows: Tensor) -> Tensor:
        held = [
            holds_stop(prompts[place], row, settings.stop, tokenizer)
            for place, row in zip(which.tolist(), rows.tolist(), strict=True)
        ]
        return torch.tensor(held, device=rows.device)

    limits = torch.tensor(
        [within_context(prompt, settings, limit) for prompt in prompts], device=device_of(model)
    )
    hypotheses = beam_search(
        step,
        _Read(*prefill(model, prompts)),  # type: ignore[arg-type]
        limits,
        Vocabulary(tokenizer.end_id, tokenizer.end_id, tuple(tokenizer.never)),
        beam=settings.beam,
        alpha=settings.alpha,
        stops=stops if settings.stop else None,
    )
    found = []
    for best, *_ in hypotheses:
        reason = "stop" if best.ended else "length"
        found.append([Continuation(best.tokens, best.log_probability, reason)])
    return found


def within_context(prompt: Sequence[Any], settings: Settings, context: int) -> int:
    """Tokens that may follow a prompt's where nothing goes past the context."""
    return min(settings.max_tokens, context + 1 - len(prompt))


def holds_stop(
    prompt: Sequence[int], written: Sequence[int], stops: Sequence[str], tokenizer: Tokenizer
) -> bool:
    """Whether the end of what is written has a stop text in it, the space after the prompt, too."""
    if not stops:
        return False
    most = 4 * max(map(len, stops)) + 8  # tokens: a character may be four
    text = tokenizer.text_after(prompt[-most:], written[-most:])
    return any(stop in text for stop in stops)


def before_stop(text: str, stops: Sequence[str]) -> str:
    """A text up to the first of the stop texts."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text


def showable(text: str, stops: Sequence[str]) -> int:
    """How many characters of a text that is still growing are certain to stay.

    Not so are a character whose last bytes are still to come, and what may begin a stop text.
    """
    ready = len(before_stop(text, stops))
    if ready < len(text):
        return ready
    hold = max((len(stop) - 1 for stop in stops), default=0)
    return max(0, len(text.rstrip("\ufffd")) - hold)
