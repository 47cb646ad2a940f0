"""Multi30k English-German at the tiny size, taught by two teachers: see docs/finetune.md.

    POLYHEAD_DATA=… python -m benchmarks.multi30k_taught     # 86 minutes on two cores

Runs that document's commands: the teachers beside each other, with a thread each; their
translations of the training split; the student, with all threads. What is there already is not made
again. Here all are scored on valid only; `python -m benchmarks.multi30k --run runs/taught/student`
scores the student on test.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.multi30k import tokenised_bleu
from polyhead import api

Job = Sequence[Sequence[str]]
"""Commands of Polyhead, one after another."""
ONE_WAY = "multi30k-en-de-lowercase"
ALONE, LENGTH = "training.threads=1", "decoding.alpha=1.4"
GENTLY = ("training.optimizer.lr=0.001", "training.schedule.warmup_steps=400")


def train(out: Path, recipe: str, minutes: float, *keys: str, origin: Path | None = None) -> Job:
    """The training of a run: what is left of it, if it was begun."""
    written = out / "run.json"
    if written.is_file():
        complete = json.loads(written.read_text(encoding="utf-8"))["complete"]
        return [] if complete else [["train", "--resume", str(out)]]
    begin = ["train", recipe] if origin is None else ["finetune", recipe, "--from", str(origin)]
    return [[*begin, f"training.max_minutes={minutes:g}", *keys, "--out", str(out)]]


def translate(source: Path, out: Path, *runs: Path) -> Job:
    """A translation of a file by all these runs together; none where it is there."""
    if out.is_file():
        return []
    together = ",".join(map(str, runs))
    how = ["--beam", "5", "--precision", "int8", "--output", str(out)]
    return [["translate", together, str(source), *how]]


def at_once(*jobs: Job, environment: Mapping[str, str]) -> float:
    """Run jobs beside each other, the commands of each in turn; the seconds it took."""

    def run(job: Job) -> None:
        for command in job:
            print("$ polyhead", *command, flush=True)
            whole = [sys.executable, "-m", "polyhead", *command]
            subprocess.run(whole, env={**os.environ, **environment}, check=True)

    start = time.perf_counter()
    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(run, jobs))
    return time.perf_counter() - start


def main() -> None:
    """Teach, and score on valid."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("runs/taught"))
    parser.add_argument(
        "--minutes",
        type=float,
        nargs=3,
        default=(35, 36, 10),
        metavar=("BOTH", "FIRST", "STUDENT"),
        help="both ways, then the first teacher (the second has as long as the two), the student",
    )
    args = parser.parse_args()
    both_minutes, first_minutes, student_minutes = args.minutes
    out: Path = args.out
    data = Path(os.environ["POLYHEAD_DATA"]) / "multi30k_ende"
    # the data folder of the recipe multi30k-taught: the original beside the translations
    translations = out / "data" / "multi30k_translations"
    translations.mkdir(parents=True, exist_ok=True)
    original = out / "data" / data.name
    if not original.is_symlink():
        original.symlink_to(data.absolute())
    for language in ("en", "de"):
        text = gzip.decompress((data / f"train.{language}.gz").read_bytes())
        (out / f"train.{language}").write_bytes(text)
    environment = {"POLYHEAD_DATA": str((out / "data").absolute())}
    both, first, second, student = (out / n for n in ("both-ways", "first", "second", "student"))
    seconds = at_once(
        [
            *train(both, "multi30k-both-ways", both_minutes, ALONE),
            *train(first, ONE_WAY, first_minutes, ALONE, LENGTH, *GENTLY, origin=both),
        ],
        train(second, ONE_WAY, both_minutes + first_minutes, ALONE, LENGTH),
        environment=environment,
    )
    seconds += at_once(
        translate(out / "train.en", translations / "forward.de", first, second),
        translate(out / "train.de", translations / "back.en", both),
        environment={**environment, "OMP_NUM_THREADS": "1"},
    )
    seconds += at_once(
        train(student, "multi30k-taught", student_minutes, origin=first), environment=environment
    )
    sources = (data / "valid.en").read_text(encoding="utf-8").splitlines()
    references = (data / "valid.de").read_text(encoding="utf-8").splitlines()
    print(f"{seconds / 60:.0f} minutes; BLEU on valid, lowercased, Moses-tokenised:")
    for runs in ([both], [first], [second], [first, second], [student]):
        translator = api.load(",".join(map(str, runs)))
        bleu = tokenised_bleu(translator.translate(sources), references)
        print(f"{' + '.join(run.name for run in runs):<16}{bleu:.2f}", flush=True)


if __name__ == "__main__":
    main()
