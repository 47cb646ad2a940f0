"""Commands that use a trained run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from polyhead.cli.train import Json
from polyhead.errors import UsageError
from polyhead.files import cannot_write, decode_lines, read_lines

if TYPE_CHECKING:
    from polyhead.decoding.search import Hypothesis

Flag = Parameter(negative="")


def translate(
    run: Path,
    file: str = "-",
    *,
    output: Path | None = None,
    beam: int | None = None,
    alpha: float | None = None,
    nbest: int = 1,
    scores: Annotated[bool, Flag] = False,
    sample: Annotated[bool, Flag] = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 1,
    prefix: str | None = None,
    no_repeat_ngram: int = 0,
    max_length: int | None = None,
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
) -> None:
    """Translate lines: exactly one output line per input line.

    Parameters
    ----------
    run
        a run folder
    file
        a text file (.gz allowed), or - for standard input
    output
        where to write; default: standard output
    beam
        hypotheses kept per sentence; 1 is greedy (default: the recipe's)
    alpha
        length penalty ((5 + length) / 6) ^ alpha of GNMT; 0 is none (default: the recipe's)
    nbest
        print the K best of each line
    scores
        print line, rank, length-normalised log-probability and text, with tabs between
    sample
        draw at random instead of searching
    temperature
        of sampling; below 1 keeps closer to the most probable
    top_k
        sample from the k most probable tokens
    top_p
        sample from the most probable tokens that add up to p
    seed
        of sampling
    prefix
        text every translation must begin with
    no_repeat_ngram
        forbid n-grams of this size to stand twice in a translation
    max_length
        most tokens of a translation (default: the source's plus 50)
    precision
        fp32 gives the same text whatever a line is batched with; int8 is fastest
    """
    from polyhead import api
    from polyhead.training.progress import say

    if nbest < 1:
        raise UsageError(f"--nbest {nbest} is not at least 1")
    translator = api.load(run, precision)
    chosen: dict[str, object] = {
        "alpha": alpha,
        "prefix": prefix,
        "no_repeat_ngram": no_repeat_ngram,
        "max_length": max_length,
    }
    if sample:
        chosen["sampler"] = translator.sampler(
            temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        )
        chosen["copies"] = nbest
    else:
        least = nbest if nbest > 1 else None
        own = translator.options().beam if beam is None else beam
        chosen["beam"] = max(own, least or 1)
    options = translator.options(**chosen)
    with _Sink(output) as sink, _lines_bar(file) as bar:
        found = translator.search(_input(file), options, say=say, progress=bar)
        for line, hypotheses in enumerate(found, start=1):
            if nbest == 1 and not scores:
                sink.write(translator.text(hypotheses))
                continue
            for rank, text in enumerate(_ranked(translator, line, hypotheses[:nbest], scores)):
                del rank
                sink.write(text)


def _ranked(
    translator: object, line: int, hypotheses: list[Hypothesis], scores: bool
) -> Iterator[str]:
    for rank, hypothesis in enumerate(hypotheses, start=1):
        text = translator.text([hypothesis])  # type: ignore[attr-defined]
        yield f"{line}\t{rank}\t{hypothesis.score:.6f}\t{text}" if scores else text
    if not hypotheses:  # an empty line keeps its place
        yield f"{line}\t1\t0.000000\t" if scores else ""


def evaluate(
    run: Path,
    *,
    split: Literal["test", "valid"] = "test",
    source: Path | None = None,
    reference: Path | None = None,
    beam: int | None = None,
    alpha: float | None = None,
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    json_: Json = False,
) -> None:
    """Score a run: BLEU, chrF, TER with signatures and intervals; NLL, perplexity, bits per byte.

    Parameters
    ----------
    run
        a run folder
    split
        which split of the recipe's data
    source
        a file to translate, instead of a split
    reference
        its translation
    beam
        hypotheses per sentence (default: the recipe's)
    alpha
        length penalty (default: the recipe's)
    precision
        what to compute in
    """
    from polyhead import api

    report = api.load(run, precision).evaluate(split, source, reference, beam=beam, alpha=alpha)
    if json_:
        print(json.dumps(report, ensure_ascii=False))
        return
    print(f"{report['run']}, {report['split']}: {report['examples']:,} examples")
    for name, value in report["metrics"].items():
        if isinstance(value, dict):
            interval = f"[{value['low']:.2f}, {value['high']:.2f}]"
            print(f"  {name:<14}{value['score']:8.2f}  95% {interval}  {value['signature']}")
        else:
            print(f"  {name:<14}{value:8.4f}")
    print(f"  {report['seconds']:.1f} s, {report['tokens_per_second']:,.0f} tokens/s")


def score(run: Path, *, source: Path, target: Path, json_: Json = False) -> None:
    """Log-probability of given translations, by forced decoding, a line each.

    Parameters
    ----------
    run
        a run folder
    source
        the sources, a line each
    target
        the translations to score
    """
    from polyhead import api
    from polyhead.data.pairs import PairSource, read_pairs

    pairs = read_pairs(
        PairSource.model_validate(
            {"source": str(source), "target": str(target)}, context={"folder": Path()}
        )
    )
    scored = api.load(run).score_tokens(pairs.sources, pairs.targets)
    if json_:
        rows = [
            {"line": line, "log_probability": value, "tokens": tokens}
            for line, (value, tokens) in enumerate(scored, start=1)
        ]
        print(json.dumps(rows))
        return
    for value, _ in scored:
        print(f"{value:.6f}")


def inspect(run: Path, text: str, *, out: Path, target: str | None = None) -> None:
    """Draw what a translation attends to: every layer and head.

    Parameters
    ----------
    run
        a run folder
    text
        the source text
    out
        FILE.png (a picture), FILE.html (a page to explore offline) or FILE.json (the numbers)
    target
        the translation to look at (default: the model's own)
    """
    from polyhead import api

    maps = api.load(run).attention(text, target)
    print(maps.save(out))


def explain(run: Path, text: str, *, json_: Json = False) -> None:
    """Show how a text is cut into tokens, their ids, and what is unknown.

    Parameters
    ----------
    run
        a run folder
    text
        the text
    """
    from polyhead.registry import find
    from polyhead.runs.folder import Run

    opened = Run.open(run)
    task = find("tasks", opened.recipe.task).Task.load(opened.recipe, opened.path)
    found = task.source_tokenizer.explain(text)
    if json_:
        fields = {"tokens": found.tokens, "ids": found.ids, "unknown": found.unknown}
        print(json.dumps(fields, ensure_ascii=False))
        return
    for token, number in zip(found.tokens, found.ids, strict=True):
        print(f"{number}\t{token}")
    if found.unknown:
        print(f"unknown: {' '.join(found.unknown)}", file=sys.stderr)


def _input(file: str) -> Iterator[str]:
    if file == "-":
        return decode_lines(sys.stdin.buffer, "standard input")
    return read_lines(Path(file))


class _Sink:
    """Lines to a file, or to standard output."""

    def __init__(self, path: Path | None):
        self.path = path
        try:
            self.file = sys.stdout if path is None else path.open("w", encoding="utf-8")
        except OSError as error:
            raise cannot_write(path or Path("-"), error) from None

    def __enter__(self) -> _Sink:
        return self

    def write(self, line: str) -> None:
        try:
            self.file.write(line + "\n")
        except BrokenPipeError:
            raise
        except OSError as error:
            raise cannot_write(self.path or Path("stdout"), error) from None

    def __exit__(self, *_: object) -> None:
        self.file.flush()
        if self.path is not None:
            self.file.close()


class _lines_bar:
    """A progress bar over input lines, on stderr, where that is a terminal."""

    def __init__(self, file: str):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        from polyhead.training.progress import console

        total = None
        if console.is_terminal and file != "-" and Path(file).is_file():
            total = sum(1 for _ in read_lines(Path(file)))
        self.bar = Progress(
            "translating",
            BarColumn(),
            MofNCompleteColumn(),
            "lines",
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> _lines_bar:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, done: int) -> None:
        self.bar.advance(self.task, done)
