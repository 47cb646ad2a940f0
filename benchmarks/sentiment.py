"""Korean film reviews, good or bad: what pre-training is worth, and what counting words reaches.

    POLYHEAD_DATA=… python -m benchmarks.sentiment --out runs/sentiment

Three systems on the same 50,000 reviews: TF-IDF of 1 to 4 characters with logistic regression (its
strength C chosen on valid), the recipe `nsmc` from scratch, and the same fine-tuned from
`nsmc-language`, which read the reviews without their labels. Test is scored once, with the weights
that were best on valid. An interrupted run goes on where it was. Needs scikit-learn (extra
`benchmarks`).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.common import call, write_here
from polyhead import api

STRENGTHS = (0.3, 1.0, 3.0, 10.0)
TUNED = "training.optimizer.lr=0.0002"


def read(path: Path) -> tuple[list[str], list[str]]:
    """(reviews, labels) of a TSV file, gzip-compressed or not."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row["document"] for row in rows], [row["label"] for row in rows]


def counted(data: Path) -> dict[str, Any]:
    """TF-IDF of 1 to 4 characters and logistic regression: accuracy on valid and test."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    splits = {name: read(data / f"{name}.tsv") for name in ("valid", "test")}
    texts, labels = read(data / "train.tsv.gz")
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), min_df=3, sublinear_tf=True)
    features = vectorizer.fit_transform(texts)
    best: dict[str, Any] = {"valid": 0.0}
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000).fit(features, labels)
        valid = model.score(vectorizer.transform(splits["valid"][0]), splits["valid"][1])
        if valid > best["valid"]:
            best = {"valid": valid, "C": strength, "model": model}
    reviews, right = splits["test"]
    found = best.pop("model").score(vectorizer.transform(reviews), right)
    return {**best, "test": found, "features": features.shape[1]}


def trained(out: Path, recipe: str, *arguments: str) -> Path:
    """A run of a recipe in `out`, made, finished, or there already."""
    if not (out / "run.json").is_file():
        command = "finetune" if "--from" in arguments else "train"
        call(command, recipe, *arguments, "--out", str(out))
    elif not complete(out):
        call("train", "--resume", str(out))
    if not complete(out):  # a signal stopped it
        raise SystemExit(f"{out} was interrupted; the same command goes on")
    return out


def complete(run: Path) -> bool:
    """Whether a run's training came to its end."""
    return bool(json.loads((run / "run.json").read_text(encoding="utf-8"))["complete"])


def scored(run: Path) -> dict[str, Any]:
    """Accuracy on valid and test, parameters, and the minutes of training."""
    user = api.load(run)
    journal = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    seconds = [line["seconds"] for line in map(json.loads, journal) if line["kind"] == "train"]
    accuracies = {name: user.evaluate(name)["metrics"]["accuracy"] for name in ("valid", "test")}
    parameters = sum(p.numel() for p in user.model.parameters())
    return {**accuracies, "parameters": parameters, "minutes": round(seconds[-1] / 60, 1)}


def main() -> None:
    """Train what is not trained, score, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/sentiment"))
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/sentiment.json"))
    args = parser.parse_args()
    begin = time.perf_counter()
    found = {"tf-idf": counted(Path(os.environ["POLYHEAD_DATA"], "nsmc"))}
    found["tf-idf"]["minutes"] = round((time.perf_counter() - begin) / 60, 1)
    language = trained(args.out / "language", "nsmc-language")
    twin = trained(args.out / "scratch", "nsmc")
    found["from scratch"] = scored(twin)
    tuned = trained(args.out / "tuned", "nsmc", TUNED, "--from", str(language))
    found["pre-trained"] = scored(tuned)
    for name, one in found.items():
        print(f"{name:<14} valid {one['valid']:.4f}  test {one['test']:.4f}  {one['minutes']} min")
    report = api.load(tuned).evaluate("test", against=twin)
    gain = report["against"]["difference"]["accuracy"]
    print(f"pre-trained less from scratch {gain['value']:+.4f} [{gain['low']:+.4f}, "
          f"{gain['high']:+.4f}], p = {gain['p_value']:.4f}")  # fmt: skip
    kept = {
        "pre-trained is above its twin from scratch": (
            found["pre-trained"]["test"] > found["from scratch"]["test"]
        ),
        "pre-trained is above TF-IDF": found["pre-trained"]["test"] > found["tf-idf"]["test"],
    }
    for text, met in kept.items():
        print(f"{'yes' if met else 'NO':<4}{text}")
    result = {"systems": found, "gain of pre-training": gain, "promises": kept}
    write_here(args.json, result)


if __name__ == "__main__":
    main()
