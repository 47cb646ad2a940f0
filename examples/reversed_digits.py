"""The reverse task: write a sequence of numbers from its end (after Joey NMT's tutorial).

    python examples/reversed_digits.py digits
    polyhead train digits/recipe.yaml --out digits/run
    polyhead inspect digits/run "7 3 21 40" --out digits/attention.png

50,000 pairs of 1 to 25 numbers from 0 to 49; 1,000 pairs of up to 30 to judge by.
"""

import random
import sys
from pathlib import Path

RECIPE = """\
name: reversed-digits
task: translation
model: {kind: rnn_seq2seq, d_model: 128, d_embedding: 64, input_feeding: false, dropout: 0.1}
data:
  source_language: num
  target_language: num
  train: {source: train.in, target: train.out}
  valid: {source: valid.in, target: valid.out}
  test: {source: test.in, target: test.out}
tokenizer: {kind: word, vocab_size: 60, shared: true}
training:
  batch_tokens: 2048
  max_minutes: 4
  label_smoothing: 0.0
  optimizer: {lr: 0.004}
  schedule: {kind: cosine, warmup_steps: 100}
  validate_every: 400
  early_stopping: {metric: bleu, patience: 100}
decoding: {beam: 1, alpha: 0.0}
"""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(42)
    for name, pairs, longest in (("train", 50_000, 25), ("valid", 1000, 30), ("test", 1000, 30)):
        rows = [
            [str(rng.randrange(50)) for _ in range(rng.randint(1, longest))] for _ in range(pairs)
        ]
        for ending, order in (("in", 1), ("out", -1)):
            text = "".join(" ".join(row[::order]) + "\n" for row in rows)
            (folder / f"{name}.{ending}").write_text(text, encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
