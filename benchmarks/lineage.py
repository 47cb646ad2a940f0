"""RNN attention side by side on Multi30k English-German: what one key of the recipe changes.

    POLYHEAD_DATA=… python -m benchmarks.lineage --tokens 5000000 --out runs/lineage

Every variant is the shipped recipe multi30k-en-de-rnn with keys of `model.attention` changed,
trained by `polyhead compare` on as many target tokens; soft and none with two seeds. ConvS2S has
its own recipe. Bahdanau's additive score is left out: it is asked before each step, so steps cannot
be computed together, and 15 minutes are too short. Prints the table and BLEU of lowercased,
Moses-tokenised text (sacreBLEU, tok:none, beam 5, test), checks the promises, and writes JSON. An
interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.common import call, write_here
from benchmarks.multi30k import tokenised_bleu
from polyhead import api

RNN, CONV = "multi30k-en-de-rnn", "multi30k-en-de-conv"
VARIANTS: dict[str, list[str]] = {
    "general": [RNN],
    "general-seed2": [RNN, "seed=2"],
    "none": [RNN, "model.attention.score=none"],
    "none-seed2": [RNN, "model.attention.score=none", "seed=2"],
    "dot": [RNN, "model.attention.score=dot"],
    "concat": [RNN, "model.attention.score=concat"],
    "local-p": [RNN, "model.attention.scope=local-p"],
    "hard": [RNN, "model.attention.weights=hard"],
    "conv": [CONV],
    "local-m": [RNN, "model.attention.scope=local-m"],
}


def promises(bleu: dict[str, float], seconds: list[float]) -> dict[str, bool]:
    """What issue and papers let us expect of these scores, and of these times of training."""
    soft = (bleu["general"] + bleu["general-seed2"]) / 2
    none = (bleu["none"] + bleu["none-seed2"]) / 2
    scores = [bleu[name] for name in ("dot", "general", "concat")]
    return {
        "attention reaches 35": soft >= 35,
        "without attention at least 4 lower, and at least 15": soft - 4 >= none >= 15,
        "dot, general and concat within 2": max(scores) - min(scores) <= 2,
        "local-p within 1.5 of global": abs(bleu["local-p"] - soft) <= 1.5,
        "hard within 3 of soft": soft - bleu["hard"] <= 3,
        "ConvS2S reaches 35": bleu["conv"] >= 35,
        "each in at most 15 minutes": max(seconds) <= 15 * 60,
    }


def main() -> None:
    """Compare, translate with beam 5, score, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=5_000_000)
    parser.add_argument("--out", type=Path, default=Path("runs/lineage"))
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/lineage.json"))
    args = parser.parse_args()
    models = [part for name, one in VARIANTS.items() for part in (*one, f"name={name}")]
    command = ["compare", *models, "--tokens", str(args.tokens)]
    written = args.out / "compare.json"
    written.unlink(missing_ok=True)  # of another call: this one makes it anew
    call(*command, "--out", str(args.out))
    if not written.is_file():
        return  # stopped; it has said how to go on
    report = json.loads(written.read_text(encoding="utf-8"))
    bleu: dict[str, float] = {}
    for one in report["models"]:
        translator = api.load(args.out / one["name"])
        corpus = translator.task.read("test", print)
        sources, references = corpus.texts()
        bleu[one["name"]] = tokenised_bleu(translator.translate(sources, beam=5), references)
        print(f"{one['name']:<16}{bleu[one['name']]:6.2f}")
    kept = promises(bleu, [one["seconds"] for one in report["models"]])
    for text, met in kept.items():
        print(f"{'yes' if met else 'NO':<4}{text}")
    result: dict[str, Any] = {"bleu_lowercased_moses": bleu, "promises": kept, **report}
    write_here(args.json, result)


if __name__ == "__main__":
    main()
