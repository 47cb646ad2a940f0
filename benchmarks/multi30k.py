"""Multi30k English-German at the tiny size: BLEU of the shipped recipe on the whole test split.

    POLYHEAD_DATA=… python -m benchmarks.multi30k             # trains first (the recipe's minutes)
    POLYHEAD_DATA=… python -m benchmarks.multi30k --run RUN   # scores a run that is trained

Scores: BLEU of lowercased, Moses-tokenised text (sacreBLEU, tok:none), the public reference's way;
plain sacreBLEU on raw text, with and without case; and BLEU with the sources shuffled, which must
be next to nothing. Weights were chosen on valid; test is used here only.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path

import sacrebleu
from sacremoses import MosesTokenizer

from benchmarks.common import write_here
from polyhead import api

RECIPE = Path(__file__).parent.parent / "recipes" / "multi30k-en-de-lowercase.yaml"
REFERENCE = 41.02  # fairseq transformer_tiny, 8,000 updates of 8,192 tokens, average of 10


def moses(lines: list[str]) -> list[str]:
    """Lowercased and Moses-tokenised."""
    tokenizer = MosesTokenizer(lang="de")
    return [tokenizer.tokenize(line.lower(), return_str=True, escape=False) for line in lines]


def tokenised_bleu(hypotheses: list[str], references: list[str]) -> float:
    """sacreBLEU's tok:none on `moses` of both sides."""
    scored = sacrebleu.corpus_bleu(
        moses(hypotheses), [moses(references)], tokenize="none", force=True
    )
    return float(scored.score)


def main() -> None:
    """Train if asked to, translate, score, print and write JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, help="a trained run (default: train one)")
    parser.add_argument("--out", type=Path, default=Path("runs/multi30k-en-de-lowercase"))
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/multi30k.json"))
    args = parser.parse_args()
    run = args.run or api.train(RECIPE, args.out).path
    data = Path(os.environ["POLYHEAD_DATA"]) / "multi30k_ende"
    sources = (data / "test.en").read_text(encoding="utf-8").splitlines()
    references = (data / "test.de").read_text(encoding="utf-8").splitlines()
    translator = api.load(run)
    hypotheses = translator.translate(sources, beam=5)
    order = list(range(len(sources)))
    random.Random(1).shuffle(order)
    raw = sacrebleu.corpus_bleu(hypotheses, [references])
    caseless = sacrebleu.corpus_bleu(hypotheses, [references], lowercase=True)
    info = translator.run.info
    result = {
        "bleu_lowercased_moses": tokenised_bleu(hypotheses, references),
        "reference": REFERENCE,
        "sacrebleu_raw": raw.score,
        "sacrebleu_raw_lowercase": caseless.score,
        "shuffled_sources": tokenised_bleu([hypotheses[i] for i in order], references),
        "sentences": len(sources),
        "weights": f"{info['weights']}, step {info['weights_step']} of {info['step']}",
        "choices": info["choices"],
    }
    write_here(args.json, result)
    for name, value in result.items():
        print(f"{name:<26}{value:.2f}" if isinstance(value, float) else f"{name:<26}{value}")


if __name__ == "__main__":
    main()
