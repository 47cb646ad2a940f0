"""From nothing to one's own translator in five minutes, with everything it takes on show."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from polyhead import api
from polyhead.data import korean_english
from polyhead.errors import DataError, UsageError
from polyhead.files import read_lines, write_text
from polyhead.inspection.asked import tell_picture
from polyhead.metrics.text import corpus_scores

Say = Callable[[str], None]
HEADERS = {"source", "target", "korean", "english", "ko", "en", "원문", "번역문", "src", "tgt"}
LEAST_PAIRS = 100


class Pair(NamedTuple):
    source: str
    target: str
    group: str


def quickstart(data: Path | None, out: Path, minutes: float, say: Say, show: Say) -> dict[str, Any]:
    """Make or read pairs, train, score beside baselines, translate, draw; returns the scores.

    `say` hears how it goes; `show` gets the results, a line or several at a time.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists already; --out names another place")
    if not minutes > 0:
        raise UsageError(f"--minutes {minutes} is not above 0")
    parts = _embedded(say) if data is None else split(read_tsv(data), say)
    out.mkdir(parents=True, exist_ok=True)
    for name, pairs in parts.items():
        lines = ["source\ttarget\tgroup", *("\t".join(pair) for pair in pairs)]
        write_text(out / f"{name}.tsv", "\n".join(lines) + "\n")
    recipe = out / "recipe.yaml"
    languages = [
        guess_language([getattr(p, side) for p in parts["train"][:1000]])
        for side in ("source", "target")
    ]
    write_text(recipe, _recipe(languages, minutes))
    say(f"the data and the recipe are in {out}: change them and train again as you like\n")
    run = api.train(recipe, out / "run")
    if not run.info["complete"]:
        return {}
    translator = api.load(run.path)
    say(f"\nscoring on {len(parts['test']):,} held-out sentences")
    report = _score(translator, parts)
    _show_scores(report, show)
    translator.evaluate()  # writes all scores into the model card
    _show_translations(translator, parts["test"], show)
    _draw(translator, parts["test"][0].source, out, say, show)
    _show_next_steps(out, show)
    return report


def _embedded(say: Say) -> dict[str, list[Pair]]:
    say("making the embedded corpus: Korean-English conversation in five domains")
    parts = korean_english.splits()
    return {
        name: [Pair(p.korean, p.english, p.domain) for p in pairs] for name, pairs in parts.items()
    }


def read_tsv(path: Path) -> list[Pair]:
    """Pairs of a two- or three-column TSV: source, target and perhaps a group; header optional."""
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        cells = line.split("\t")
        if number == 1 and {cell.strip().lower() for cell in cells[:2]} <= HEADERS:
            continue
        if not line.strip():
            continue
        if len(cells) not in (2, 3):
            raise DataError(
                f"{path}, line {number}: {len(cells)} tab-separated columns; two are needed "
                "(source, target), and a third may name a group"
            )
        if cells[0].strip() and cells[1].strip():
            pairs.append(Pair(cells[0], cells[1], cells[2] if len(cells) == 3 else "all"))
    if len(pairs) < LEAST_PAIRS:
        raise DataError(f"{path}: {len(pairs)} pairs; at least {LEAST_PAIRS} are needed to train")
    return pairs


def split(pairs: Sequence[Pair], say: Say, seed: int = 1) -> dict[str, list[Pair]]:
    """Train, valid and test; no held-out sentence of either side stands in train."""
    distinct = list(dict.fromkeys(pairs))
    if len(distinct) < LEAST_PAIRS:
        raise DataError(
            f"{len(distinct)} distinct pairs; at least {LEAST_PAIRS} are needed to train"
        )
    random.Random(seed).shuffle(distinct)
    size = max(10, min(1000, len(distinct) // 20))
    held = {"valid": distinct[:size], "test": distinct[size : 2 * size]}
    sources = {p.source for part in held.values() for p in part}
    targets = {p.target for part in held.values() for p in part}
    rest = distinct[2 * size :]
    train = [p for p in rest if p.source not in sources and p.target not in targets]
    if not train:
        raise DataError(
            "no pair is left to train on: every one shares its source or target with a held-out one"
        )
    say(
        f"{len(pairs):,} pairs, {len(distinct):,} distinct: {len(train):,} to train on, {size:,} "
        f"to validate, {size:,} to test ({len(rest) - len(train):,} left out because a side of "
        "theirs is held out)"
    )
    return {"train": train, **held}


def guess_language(texts: Sequence[str]) -> str:
    """A language code by script: enough for sacreBLEU to choose its tokenizer."""
    counts = {"ko": 0, "ja": 0, "zh": 0, "ru": 0, "en": 0}
    scripts = {"HANGUL": "ko", "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "CYRILLIC": "ru"}
    for char in "".join(texts)[:20000]:
        if char.isalpha():
            counts[scripts.get(unicodedata.name(char, "").split(" ")[0], "en")] += 1
    if counts["ja"]:
        counts["ja"] += counts["zh"]
    return max(counts, key=lambda code: counts[code])


def _recipe(languages: list[str], minutes: float) -> str:
    def part(name: str) -> dict[str, str]:
        return {
            "file": f"{name}.tsv",
            "source_column": "source",
            "target_column": "target",
            "group_column": "group",
        }

    recipe = {
        "name": "quickstart",
        "task": "translation",
        "model": {
            "kind": "transformer",
            "d_model": 192,
            "num_layers": 2,
            "num_heads": 4,
            "d_ff": 512,
            "dropout": 0.0,
            "norm": "pre",
        },
        "data": {
            "source_language": languages[0],
            "target_language": languages[1],
            "train": [part("train")],
            "valid": part("valid"),
            "test": part("test"),
            "max_length": 128,
        },
        "tokenizer": {"kind": "bpe", "vocab_size": 4000, "shared": True},
        "training": {
            "batch_tokens": 2048,
            "max_minutes": minutes,
            "label_smoothing": 0.05,
            "optimizer": {"kind": "adam", "lr": 0.002, "betas": [0.9, 0.98]},
            "schedule": {"kind": "linear", "warmup_steps": 100},
            "validate_every": 400,
            "early_stopping": {"metric": "none"},
        },
        "decoding": {"beam": 1, "alpha": 0.0},
    }
    head = (
        "# Written by `polyhead quickstart`; train it again with `polyhead train` on this file.\n"
    )
    return head + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)


def _score(translator: api.Translator, parts: dict[str, list[Pair]]) -> dict[str, Any]:
    """BLEU and exact match per group, beside retrieval and beside shuffled sources."""
    test = parts["test"]
    sources, references = [p.source for p in test], [p.target for p in test]
    language = translator.task.data.target_language

    def bleu(hypotheses: list[str], refs: list[str]) -> float:
        scores = corpus_scores(hypotheses, refs, language, names=("bleu",))
        return float(scores["bleu"]["score"])

    hypotheses = translator.translate(sources)
    train_sources = [p.source for p in parts["train"]]
    near = korean_english.nearest(train_sources, sources)
    shuffled = list(range(len(test)))
    random.Random(1).shuffle(shuffled)
    scores = {  # of what needs no learning, and of what has no source: to be beaten by far
        "nearest neighbour": bleu([parts["train"][i].target for i in near], references),
        "shuffled sources": bleu([hypotheses[i] for i in shuffled], references),
    }
    groups = {}
    for group in sorted({p.group for p in test}):
        rows = [i for i, p in enumerate(test) if p.group == group]
        exact = sum(hypotheses[i] == references[i] for i in rows) / len(rows)
        groups[group] = {
            "sentences": len(rows),
            "bleu": bleu([hypotheses[i] for i in rows], [references[i] for i in rows]),
            "exact_match": 100 * exact,
        }
    exact = 100 * sum(h == r for h, r in zip(hypotheses, references, strict=True)) / len(test)
    total = {"sentences": len(test), "bleu": bleu(hypotheses, references), "exact_match": exact}
    return {"groups": groups, "all": total, "for comparison": scores}


def _show_scores(report: dict[str, Any], show: Say) -> None:
    show(f"  {'':<20}{'BLEU':>8}{'exact match':>14}")
    groups = report["groups"] if len(report["groups"]) > 1 else {}
    for name, row in [*groups.items(), ("all", report["all"])]:
        show(f"  {name:<20}{row['bleu']:>8.1f}{row['exact_match']:>13.1f}%")
    for name, score in report["for comparison"].items():
        show(f"  {name:<20}{score:>8.1f}   (for comparison)")


def _show_translations(translator: api.Translator, test: list[Pair], show: Say) -> None:
    show("\nsome translations")
    chosen = test[:: max(1, len(test) // 5)][:5]
    for pair, text in zip(chosen, translator.translate([p.source for p in chosen]), strict=True):
        show(f"  {pair.source}\n    model:     {text}\n    reference: {pair.target}")


def _draw(translator: api.Translator, text: str, out: Path, say: Say, show: Say) -> None:
    maps = translator.attention(text)
    show(f"\nwhat it attends to: {maps.save(out / 'attention.html')} (open it in a browser)")
    tell_picture(lambda: maps.save(out / "attention.png"), say)


def _show_next_steps(out: Path, show: Say) -> None:
    run = out / "run"
    show(
        "\nwhat to do next"
        f'\n  echo "내일 저녁에 친구를 만날 거예요." | polyhead translate {run}'
        f"\n  polyhead evaluate {run}"
        f'\n  polyhead inspect {run} "어디에서 커피를 마셨어요?" --out coffee.html'
        f"\n  polyhead train {out / 'recipe.yaml'} training.max_minutes=20 --out {out / 'longer'}"
        f"\n  polyhead quickstart --data YOUR.tsv --out yours"
    )
