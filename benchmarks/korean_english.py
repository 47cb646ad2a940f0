"""Korean-English, honestly: Polyhead, Hugging Face MarianMT and Joey NMT, as long each, one test.

    POLYHEAD_DATA=… python -m benchmarks.korean_english
    POLYHEAD_DATA=… python -m benchmarks.korean_english --split valid   # to choose settings

The four koen corpora together. One vocabulary, trained by Polyhead: the peers get its token ids, so
that size and text are the same for all. Every system trains for the same time on the same threads,
chooses its weights on valid, and translates with beam 5. BLEU and chrF of the whole split, of each
corpus, and what Polyhead is ahead by, with the 95% interval of a paired bootstrap. Every system's
result is kept in --out: an interrupted benchmark goes on with the next one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import common
from benchmarks.common import TUNED_ALLOCATOR, Interpreters, Result, System
from polyhead import api
from polyhead.metrics.paired import paired_differences
from polyhead.metrics.text import corpus_scores
from polyhead.use.translation import Translator

RECIPE = common.ROOT / "recipes" / "korean-english.yaml"
NAMES = ("bleu", "chrf")
MAX_LENGTH = 200
PEERS = [
    System(
        name="hf-marian-tuned",
        module="huggingface_translation",
        peer="huggingface",
        needs="transformers",
        environment=TUNED_ALLOCATOR,
    ),
    System(name="joeynmt", module="joeynmt_translation", peer="joeynmt", needs="joeynmt"),
]


def kept(path: Path, measure: Callable[[], Result]) -> Result:
    """A result as it was written, or measured now and written; what failed is measured again."""
    if path.is_file():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    result = measure()
    if "failed" not in result:
        common.write_json(path, result)
    return result


def train_ours(minutes: float, run: Path, threads: int, split: str) -> Result:
    """Polyhead's run, and its translations of the split."""
    started = time.perf_counter()
    changes = [f"training.max_minutes={minutes:g}", f"training.threads={threads}"]
    api.train(RECIPE, run, changes)
    wall = (time.perf_counter() - started) / 60
    translator = api.load(run)
    assert isinstance(translator, Translator)
    sources, _ = texts_in(translator, split)
    info = translator.run.info
    progress = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    speeds = [line["tokens_per_second"] for line in progress if line["kind"] == "train"]
    return {
        "texts": translator.translate(sources, beam=5),
        "parameters": sum(p.numel() for p in translator.model.parameters()),
        "precision": info["choices"]["precision"],
        "steps": info["step"],
        "best_step": info["weights_step"],
        "tokens_per_second": sorted(speeds)[len(speeds) // 2],
        "wall_minutes": wall,
    }


def texts_in(translator: Translator, split: str) -> tuple[list[str], list[str]]:
    """Sources and targets of a split."""
    task, recipe = translator.task, translator.run.recipe
    if split != "train":
        return task.read(split, print).texts()
    corpora = task.read_training(recipe, print)
    return (
        [text for pairs in corpora for text in pairs.sources],
        [text for pairs in corpora for text in pairs.targets],
    )


def write_ids(translator: Translator, folder: Path) -> None:
    """What the peers learn from: ids.json for all splits, and the same as files of tokens."""
    tokenizer, model = translator.task.target_tokenizer, translator.run.recipe.model.model_dump()
    shape = {key: model[key] for key in ("d_model", "num_layers", "num_heads", "d_ff", "dropout")}
    shape |= {"name": "koen", "vocab_size": tokenizer.size}
    given: dict[str, object] = {
        "shape": shape,
        "end": tokenizer.end_id,
        "pad": tokenizer.pad_id,
        "max_length": MAX_LENGTH,
    }
    used: set[str] = set()
    for split in ("train", "valid", "test"):
        texts = texts_in(translator, split)
        sides = [tokenizer.encode_all(side) for side in texts]
        for side, rows in zip(("src", "trg"), sides, strict=True):
            tokens = [[tokenizer.inner.id_to_token(i) for i in row] for row in rows]
            used.update(token for row in tokens for token in row)
            lines = [" ".join(row) + "\n" for row in tokens]
            (folder / f"{split}.{side}").write_text("".join(lines), encoding="utf-8")
        end = [tokenizer.end_id]
        given[split] = [
            (source[: MAX_LENGTH - 1] + end, target[: MAX_LENGTH - 1] + end)
            for source, target in zip(*sides, strict=True)
        ]
    (folder / "ids.json").write_text(json.dumps(given))
    (folder / "vocabulary.txt").write_text("\n".join(sorted(used)) + "\n", encoding="utf-8")


def texts_of(translator: Translator, outputs: list[list[int]] | list[list[str]]) -> list[str]:
    """The texts of a peer's ids, or of its tokens."""
    tokenizer = translator.task.target_tokenizer
    known = tokenizer.inner.token_to_id
    rows = [
        [i for t in row if (i := known(t) if isinstance(t, str) else t) is not None]
        for row in outputs
    ]
    return tokenizer.decode_all(rows)


def by_corpus(translator: Translator, split: str) -> dict[str, slice]:
    """Which sentences of a split are which corpus'."""
    found, start = {}, 0
    for source in getattr(translator.run.recipe.data, split):
        with Path(source.source).open(encoding="utf-8") as file:
            count = sum(1 for _ in file)
        found[Path(source.source).parent.name] = slice(start, start + count)
        start += count
    return found


def measured(args: argparse.Namespace, console: Console) -> tuple[Translator, dict[str, Result]]:
    """Polyhead's translator, and the result of every system."""
    out = args.out / f"{args.split}-{args.minutes:g}-minutes"
    run = out / "run"

    def ours() -> Result:
        console.print(f"Polyhead: {args.minutes:g} minutes")
        shutil.rmtree(run, ignore_errors=True)  # of an attempt that was interrupted
        return train_ours(args.minutes, run, args.threads, args.split)

    results = {"polyhead": kept(out / "polyhead.json", ours)}
    translator = api.load(run)
    assert isinstance(translator, Translator)
    count = len(texts_in(translator, args.split)[1])
    write_ids(translator, out)
    options = ["--data", str(out), "--minutes", str(args.minutes), "--split", args.split]
    options += ["--threads", str(args.threads)]

    def theirs(peer: System) -> Result:
        console.print(f"{peer.name}: {args.minutes:g} minutes")
        result = common.run_system(peer, Interpreters.from_options(args.python), options)
        texts = texts_of(translator, result.pop("outputs", []))
        if len(texts) != count:
            return {"failed": f"{len(texts)} translations of {count} sentences"} | result
        return result | {"texts": texts}

    for peer in PEERS:
        if peer.name in args.peers:
            results[peer.name] = kept(out / f"{peer.name}.json", partial(theirs, peer))
    return translator, results


def main() -> None:
    """Train all, score, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--split", choices=("test", "valid"), default="test")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--peers", nargs="*", default=[p.name for p in PEERS], metavar="NAME")
    parser.add_argument("--python", nargs="*", default=[], metavar="PEER=PATH")
    parser.add_argument("--out", type=Path, default=Path("runs/korean-english"))
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/korean_english.json"))
    args = parser.parse_args()
    if "POLYHEAD_DATA" not in os.environ:
        parser.error("POLYHEAD_DATA is not set: the folder that holds koen_tatoeba and its like")
    console = Console(stderr=True)
    common.avoid_broken_amx(console)
    machine = common.machine(args.threads)
    translator, results = measured(args, console)
    references = texts_in(translator, args.split)[1]
    parts = by_corpus(translator, args.split)
    table = Table("system", "BLEU", "chrF", *parts, "tokens/s", "Polyhead is ahead by (BLEU, chrF)")
    own = results["polyhead"]["texts"]
    for name, result in results.items():
        if "texts" not in result:
            console.print(f"{name}: {result}")
            continue
        texts = result.pop("texts")
        result["scores"] = corpus_scores(texts, references, names=NAMES, target_language="en")
        result["bleu_by_corpus"] = {
            part: corpus_scores(
                texts[rows], references[rows], names=("bleu",), target_language="en"
            )["bleu"]["score"]
            for part, rows in parts.items()
        }
        ahead = "–"
        if name != "polyhead":
            found = paired_differences(own, texts, references, "en", names=NAMES)
            result["polyhead_ahead"] = found
            ahead = ", ".join(
                f"{d['value']:+.1f} ({d['low']:+.1f} – {d['high']:+.1f})" for d in found.values()
            )
        table.add_row(
            name,
            *(f"{result['scores'][score]['score']:.1f}" for score in NAMES),
            *(f"{score:.1f}" for score in result["bleu_by_corpus"].values()),
            f"{result['tokens_per_second']:,.0f}",
            ahead,
        )
    shown = Console()
    shown.width = max(shown.width, 130)
    shown.print(table)
    common.write_json(
        args.json,
        {
            "benchmark": f"Korean-English, {args.minutes:g} minutes each, {args.split}",
            "sentences": len(references),
            "machine": machine,
            "systems": results,
        },
    )


if __name__ == "__main__":
    main()
