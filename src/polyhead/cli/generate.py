"""`generate`: a language model goes on from prompts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from polyhead.cli.lines import Flag, Input, Json, Text, Texts, input_lines, typed
from polyhead.errors import UsageError

BETWEEN = "---"  # stands between several continuations on a terminal


def generate(
    run: Path,
    *,
    prompt: Text | None = None,
    prompts: Input | None = None,
    n: Annotated[int, Parameter(name=["-n", "--count"])] = 1,
    max_tokens: int | None = None,
    sample: Annotated[bool, Flag] = False,
    greedy: Annotated[bool, Flag] = False,
    beam: int | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    seed: int | None = None,
    repetition_penalty: float | None = None,
    no_repeat_ngram: int | None = None,
    stop: Texts = (),
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    engine: Literal["torch", "ctranslate2"] = "torch",
    json_: Json = False,
) -> None:
    """Go on from prompts with a language model, token by token; drawn at random unless told else.

    Without a prompt a document is begun. Text may go on past the model's context: where that is
    full, the model begins anew with its last half.

    Parameters
    ----------
    run
        a run of language_modeling
    prompt
        a text to go on from
    prompts
        a file of them, one a line, or - for standard input; each comes out as it would alone (one
        that stands there again is drawn anew)
    n
        so many continuations of each
    max_tokens
        of each continuation, at most (default: 200; with beam or ctranslate2 what the context
        leaves, where that is less)
    sample
        draw at random, which is what happens anyway
    greedy
        take the most probable token each time
    beam
        search for the most probable text with so many hypotheses
    temperature
        below 1 keeps closer to the most probable (default: 1)
    top_k
        draw from the k most probable tokens
    top_p
        draw from the most probable tokens that add up to p
    min_p
        draw from tokens at least so many times as probable as the most probable one
    seed
        of the draws: the same seed gives the same text (default: 1)
    repetition_penalty
        above 1 makes tokens less likely that were there already
    no_repeat_ngram
        forbid n-grams of this size to stand twice
    stop
        end before this text; may be given several times
    precision
        what to compute in; int8 is fastest
    engine
        ctranslate2 exports the run at the first use and writes with CTranslate2 (fp32, int8)
    """
    from polyhead import api
    from polyhead.training.progress import say

    if prompt is not None and prompts is not None:
        raise UsageError("--prompt and --prompts: give one of them")
    texts = None
    if prompt is not None:
        texts = [typed(prompt)]
    elif prompts is not None:
        texts = list(input_lines(prompts))
    model = api.load(run, precision, engine=engine, say=say)
    options: dict[str, Any] = {
        **{"n": n, "max_tokens": max_tokens, "beam": beam},
        **{"sample": sample or None, "greedy": greedy or None},
        **{"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p},
        **{"seed": seed, "repetition_penalty": repetition_penalty},
        **{"no_repeat_ngram": no_repeat_ngram, "stop": tuple(map(typed, stop)) or None},
    }
    alone = n == 1 and (texts is None or len(texts) == 1)
    streams = alone and not json_ and beam in (None, 1) and engine == "torch"
    screen = _Screen(texts[0] if texts else "", tuple(map(typed, stop)))
    found = model.generate(texts, hear=screen.hear if streams else None, say=say, **options)
    if json_:
        print(json.dumps([one.as_dict() for one in found], ensure_ascii=False))
    elif streams:
        screen.end(found[0].text)
    elif found:
        print(f"\n{BETWEEN}\n".join(one.prompt + one.text for one in found))
    if any(model.went_past(one) for one in found):
        say(
            f"the context of {model.context} tokens was full: the model went on with its last "
            "half each time, and knows nothing of what stood before"
        )


class _Screen:
    """A prompt and text that grows, shown as it comes without what might still be taken back."""

    def __init__(self, prompt: str, stops: tuple[str, ...]):
        self.prompt, self.stops, self.shown = prompt, stops, 0

    def write(self, text: str) -> None:
        sys.stdout.write(self.prompt + text)
        sys.stdout.flush()
        self.prompt = ""

    def hear(self, row: int, text: str) -> None:
        from polyhead.decoding.generate import showable

        ready = showable(text, self.stops)
        self.write(text[self.shown : ready])
        self.shown = max(self.shown, ready)

    def end(self, text: str) -> None:
        self.write(text[self.shown :] + "\n")
