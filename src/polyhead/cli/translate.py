"""The command that translates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from polyhead.cli.lines import Flag, Input, LinesBar, Sink, Text, input_lines, typed
from polyhead.errors import UsageError

if TYPE_CHECKING:
    from polyhead.cluster.work import Work


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
    prefix: Text | None = None,
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
        "prefix": None if prefix is None else typed(prefix),
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
    with Sink(output) as sink, LinesBar(file) as bar:
        for block in worker.blocks(input_lines(file), say=say, progress=bar):
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
