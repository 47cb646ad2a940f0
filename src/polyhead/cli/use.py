"""Commands that use a trained run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from polyhead.cli.report import report_lines
from polyhead.cli.train import Json
from polyhead.errors import UsageError
from polyhead.files import cannot_write, decode_lines, read_lines

if TYPE_CHECKING:
    from polyhead.cluster.work import Work

Flag = Parameter(negative="")


def _not_an_option(_: object, value: str | None) -> None:
    if value is not None and value.startswith("-") and value != "-":
        raise ValueError(f"unknown option {value} (a file of that name is ./{value})")


Input = Annotated[str, Parameter(allow_leading_hyphen=True, validator=_not_an_option)]
"""A file to read, or - for standard input."""


def translate(
    run: Path,
    file: Input = "-",
    *,
    output: Path | None = None,
    beam: int | None = None,
    alpha: float | None = None,
    nbest: int = 1,
    scores: Annotated[bool, Flag] = False,
    sample: Annotated[bool, Flag] = False,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    prefix: str | None = None,
    alternatives: int | None = None,
    no_repeat_ngram: int = 0,
    max_length: int | None = None,
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    batch_tokens: int | None = None,
    engine: Literal["torch", "ctranslate2"] = "torch",
    shard: str | None = None,
    ray: int | None = None,
) -> None:
    """Translate lines: exactly one output line per input line.

    Parameters
    ----------
    run
        a run folder, or several that decide together: RUN1,RUN2 (the same tokenizer is needed)
    file
        a text file (.gz allowed), or - for standard input
    output
        where to write; default: standard output
    beam
        hypotheses kept per sentence; 1 is greedy (default: the recipe's)
    alpha
        length penalty ((5 + length) / 6) ^ alpha of GNMT; 0 is none (default: the recipe's)
    nbest
        print the K best of each line: K lines for each, best first (blank where there are fewer);
        with --scores one line for each there is
    scores
        print line, rank, length-normalised log-probability and text, with tabs between
    sample
        draw at random instead of searching
    temperature
        of sampling (default: 1); below 1 keeps closer to the most probable
    top_k
        sample from the k most probable tokens
    top_p
        sample from the most probable tokens that add up to p
    seed
        of sampling (default: 1); a line gives the same whatever else is in the file
    prefix
        text every translation must begin with
    alternatives
        print K translations of each line that part right after the prefix, as --nbest prints them
    no_repeat_ngram
        forbid n-grams of this size to stand twice in a translation
    max_length
        most tokens of a translation (default: the source's plus 50)
    precision
        fp32 gives the same text whatever a line is batched with; int8 is fastest
    batch_tokens
        source tokens, times the beam, computed together: less takes less memory (default: the
        recipe's)
    engine
        ctranslate2 exports the run at the first use and translates with CTranslate2 (fp32, int8)
    shard
        i/n: translate part i of n into OUTPUT.0000i-of-0000n; who finishes last joins all parts
    ray
        translate by that many workers of a Ray cluster (extra: cluster), by shards
    """
    if alternatives is not None and alternatives < 1:
        raise UsageError(f"--alternatives {alternatives} is not at least 1")
    from polyhead.cluster.work import Work
    from polyhead.training.progress import say

    options = {
        "beam": beam,
        "alpha": alpha,
        "nbest": nbest,
        "sample": sample,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "prefix": None if prefix is None else _typed(prefix),
        "alternatives": alternatives,
        "no_repeat_ngram": no_repeat_ngram,
        "max_length": max_length,
        "batch_tokens": batch_tokens,
    }
    count = alternatives or nbest
    work = Work(str(run), precision, engine, options, count=count, scores=scores)
    if shard is not None or ray is not None:
        _translate_in_parts(work, file, output, shard, ray)
        return
    worker = work.begin(say)
    with _Sink(output) as sink, _lines_bar(file) as bar:
        for block in worker.blocks(_input(file), say=say, progress=bar):
            sink.write(block.removesuffix("\n"))


def _translate_in_parts(
    work: Work, file: str, output: Path | None, shard: str | None, ray: int | None
) -> None:
    from polyhead.cluster.on_ray import translate_on_ray
    from polyhead.cluster.shards import Shard, translate_shard
    from polyhead.training.progress import say

    option = "--shard" if ray is None else "--ray"
    if shard is not None and ray is not None:
        raise UsageError("--ray makes its own shards: leave --shard out")
    if file == "-" or output is None:
        raise UsageError(f"{option} needs a FILE, whose lines it counts, and --output")
    if work.options.get("sample"):
        raise UsageError(
            f"{option} does not go with --sample: what is drawn for a line that comes again "
            "depends on the lines before it"
        )
    if ray is not None:
        translate_on_ray(work, Path(file), output, ray, say)
        return
    part = Shard.parse(str(shard))
    translate_shard(work.begin(say), Path(file), output, part, say)


def evaluate(
    run: Path,
    *,
    split: Literal["test", "valid"] | None = None,
    source: Path | None = None,
    reference: Path | None = None,
    beam: int | None = None,
    alpha: float | None = None,
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    batch_tokens: int | None = None,
    against: Path | None = None,
    corrupt: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=False)] = (),
    seed: int | None = None,
    picture: Path | None = None,
    json_: Json = False,
) -> None:
    """Score a run: NLL, perplexity, bits per byte; of a translator BLEU, chrF, TER with intervals.

    Parameters
    ----------
    run
        a run folder, or several that decide together: RUN1,RUN2
    split
        which split of the recipe's data (default: test)
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
    batch_tokens
        source tokens, times the beam, computed together: less takes less memory (default: the
        recipe's)
    against
        another run, judged on the same sentences: the difference, its interval and its p-value
    corrupt
        KIND=RATE or KIND=RATE,RATE,…: score damaged sources, too. truncate: the last words are
        missing; omit: some are; swap: neighbours change places; shift: the first stand last
    seed
        of the damage (default: 1)
    picture
        a .png for the scores against the damage (default: damage.png in the run)
    """
    from polyhead import api
    from polyhead.training.progress import say

    if seed is not None and not corrupt:
        raise UsageError("--seed is about --corrupt, which is not given")
    if corrupt and picture is None and run.is_dir() and os.access(run, os.W_OK):
        picture = run / "damage.png"
    options = {
        "source": source,
        "reference": reference,
        "against": against,
        "corrupt": corrupt or None,
        "seed": seed,
        "picture": picture,
        "beam": beam,
        "alpha": alpha,
    }
    given = {name: value for name, value in options.items() if value is not None}
    report = api.load(run, precision, batch_tokens=batch_tokens).evaluate(split, say=say, **given)
    if json_:
        print(json.dumps(report, ensure_ascii=False))
    else:
        print("\n".join(report_lines(report)))


def score(
    run: Path,
    *,
    source: Path,
    target: Path,
    batch_tokens: int | None = None,
    json_: Json = False,
) -> None:
    """Log-probability of given translations, by forced decoding, a line each.

    Parameters
    ----------
    run
        a run folder, or several that decide together: RUN1,RUN2
    source
        the sources, a line each
    target
        the translations to score
    batch_tokens
        source tokens computed together: less takes less memory (default: the
        recipe's)
    """
    from polyhead import api
    from polyhead.training.progress import say

    sources, targets = _pairs(source, target)
    translator = api.load(run, batch_tokens=batch_tokens)
    scored = translator.score_tokens(sources, targets, say=say)
    if json_:
        rows = [
            {"line": line, "log_probability": value, "tokens": tokens}
            for line, (value, tokens) in enumerate(scored, start=1)
        ]
        print(json.dumps(rows))
        return
    for value, _ in scored:
        print(f"{value:.6f}")


def align(run: Path, *, source: Path, target: Path, output: Path | None = None) -> None:
    """Align given translations, by forced decoding: links i-j of words, a line for each pair.

    i counts the source's words from 0 and j the target's; each target word has the one source word
    that attention gives most weight while it is written.

    Parameters
    ----------
    run
        a run folder of any encoder-decoder with attention
    source
        the sources, a line each
    target
        their translations
    output
        where to write; default: standard output
    """
    from polyhead import api
    from polyhead.training.progress import say

    sources, targets = _pairs(source, target)
    found = api.load(run).align(sources, targets, say=say)
    with _Sink(output) as sink:
        for links in found:
            sink.write(" ".join(f"{i}-{j}" for i, j in links))


def _pairs(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """The lines of two aligned files."""
    from polyhead.data.pairs import PairSource, read_pairs

    pairs = read_pairs(
        PairSource.model_validate(
            {"source": str(source), "target": str(target)}, context={"folder": Path()}
        )
    )
    return pairs.sources, pairs.targets


def inspect(
    run: Path,
    text: str | None = None,
    *,
    out: Path,
    target: str | None = None,
    positions: Annotated[bool, Flag] = False,
) -> None:
    """Draw what a translation attends to, every layer and head; or the positional encodings.

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
    positions
        draw the positional encodings instead; no text is needed
    """
    from polyhead import api

    if (text is None) != positions:
        raise UsageError("give the text to look at, or --positions and no text")
    if positions and target is not None:
        raise UsageError("--target is about a text; --positions needs neither")
    translator = api.load(run)
    if text is None:
        print(translator.draw_positions(out))
    else:
        print(translator.attention(_typed(text), target and _typed(target)).save(out))


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
    found = task.source_tokenizer.explain(_typed(text))
    if json_:
        fields = {"tokens": found.tokens, "ids": found.ids, "unknown": found.unknown}
        print(json.dumps(fields, ensure_ascii=False))
        return
    for token, number in zip(found.tokens, found.ids, strict=True):
        print(f"{number}\t{token}")
    if found.unknown:
        print(f"unknown: {' '.join(found.unknown)}", file=sys.stderr)


def _typed(text: str) -> str:
    """A text from the command line; what the locale could not decode is UTF-8, or a fault."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeDecodeError as error:
        shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
        raise UsageError(
            f"the text {shown!r} is not valid UTF-8 at byte {error.start + 1}; set the terminal to "
            "UTF-8, or put the text into a file"
        ) from None


def _input(file: str) -> Iterator[str]:
    if file == "-":
        return decode_lines(sys.stdin.buffer, "standard input")
    return read_lines(Path(file))


class _Sink:
    """Lines to standard output, or to a file, which gets its name when it is whole.

    So nothing is lost where the input has a fault, or is the very file to write.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.part: Path | None = None
        if path is None:
            self.file = sys.stdout
            return
        if path.is_file() or not path.exists():  # else it is a pipe or a device
            self.path = path.resolve()
            self.part = self.path.with_name(f"{self.path.name}.part")
        try:
            self.file = (self.part or path).open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise cannot_write(path, error) from None

    def __enter__(self) -> _Sink:
        return self

    def write(self, line: str) -> None:
        try:
            self.file.write(line + "\n")
        except OSError as error:
            raise self._fault(error) from None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.file.flush() if self.path is None else self.file.close()
            if kind is None and self.path is not None and self.part is not None:
                self.part.replace(self.path)
        except OSError as error:
            if kind is None:
                raise self._fault(error) from None
        if kind is not None and self.part is not None:
            self._keep_or_drop(self.part)

    def _keep_or_drop(self, part: Path) -> None:
        """After a fault: keep what was written, and say where; an empty file is no use."""
        from polyhead.training.progress import say

        if part.stat().st_size:
            say(f"what was translated before is in {part}")
        else:
            part.unlink()

    def _fault(self, error: OSError) -> Exception:
        return error if self.path is None else cannot_write(self.path, error)


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
