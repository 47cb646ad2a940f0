"""Joey NMT 2.3 as shipped, on given tokens: its own training, stopped after a time, best on valid.

Reads what `benchmarks.korean_english` wrote: files of tokens separated by spaces, which are words
to it. Its training and its translation each run as its own commands.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

BEAM = 5


def side(language: str, folder: Path) -> dict[str, object]:
    """A language whose words are tokens already."""
    return {
        "lang": language,
        "level": "word",
        "lowercase": False,
        "max_length": 1000,
        "voc_file": str(folder / "vocabulary.txt"),
    }


def configuration(
    args: argparse.Namespace, shape: dict[str, Any], most: int, run: Path
) -> dict[str, object]:
    """Joey NMT's keys: the size of the others, outputs of `most` tokens, its own loop."""
    folder = args.data
    network = {
        "type": "transformer",
        "num_layers": shape["num_layers"],
        "num_heads": shape["num_heads"],
        "embeddings": {"embedding_dim": shape["d_model"], "scale": True, "dropout": 0.0},
        "hidden_size": shape["d_model"],
        "ff_size": shape["d_ff"],
        "dropout": shape["dropout"],
        "layer_norm": "pre",
    }
    return {
        "name": "koen",
        "joeynmt_version": "2.3.0",
        "model_dir": str(run),
        "use_cuda": False,
        "fp16": False,
        "random_seed": args.seed,
        "data": {
            "train": str(folder / "train"),
            "dev": str(folder / "valid"),
            "test": str(folder / args.split),
            "dataset_type": "plain",
            "src": side("src", folder),
            "trg": side("trg", folder),
        },
        "testing": {
            "n_best": 1,
            "beam_size": BEAM,
            "beam_alpha": 1.0,
            "batch_size": 1024,
            "batch_type": "token",
            "max_output_length": most,
            "eval_metrics": ["bleu"],
            "sacrebleu_cfg": {"tokenize": "none"},
        },
        "training": {
            "optimizer": "adam",
            "adam_betas": [0.9, 0.98],
            "normalization": "tokens",
            "learning_rate": args.lr,
            "learning_rate_min": 1e-8,
            "learning_rate_warmup": args.warmup,
            "scheduling": "warmupinversesquareroot",
            "clip_grad_norm": 1.0,
            "label_smoothing": 0.1,
            "batch_multiplier": 1,
            "batch_size": args.batch_tokens,
            "batch_type": "token",
            "early_stopping_metric": "ppl",
            "epochs": 10_000,
            "validation_freq": args.validate_every,
            "logging_freq": min(50, args.validate_every),
            "overwrite": True,
            "shuffle": True,
            "print_valid_sents": [0],
            "keep_best_ckpts": 1,
        },
        "model": {
            "initializer": "xavier_uniform",
            "embed_initializer": "xavier_uniform",
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": network,
            "decoder": network,
        },
    }


def call(*arguments: str, **options: object) -> subprocess.Popen[str]:
    """One of Joey NMT's commands."""
    command = [sys.executable, "-m", "joeynmt", *arguments]
    return subprocess.Popen(command, text=True, **options)  # type: ignore[call-overload,no-any-return]


def main() -> None:
    """Train until the time is over, translate with the best checkpoint, print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--split", choices=("test", "valid"), default="test", help="what is scored")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--lr", type=float, default=2e-3, help="peak")
    parser.add_argument("--warmup", type=int, default=600, help="steps")
    parser.add_argument("--validate-every", type=int, default=250, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    given = json.loads((args.data / "ids.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        run, config = Path(folder, "run"), Path(folder, "config.yaml")
        # Its validations always translate, for minutes while the model cannot end; the choice by
        # perplexity needs none of it, so a token each is enough until the test.
        keys = configuration(args, given["shape"], 1, run)
        config.write_text(yaml.safe_dump(keys))
        training = call("train", str(config), "--skip-test", stdout=subprocess.DEVNULL)
        try:
            training.wait(args.minutes * 60)
        except subprocess.TimeoutExpired:
            training.send_signal(signal.SIGKILL)
            training.wait()
        log = (run / "train.log").read_text()
        checkpoint = (run / "best.ckpt").resolve()
        keys = configuration(args, given["shape"], given["max_length"], run)
        config.write_text(yaml.safe_dump(keys))
        with (args.data / f"{args.split}.src").open() as sources:
            translation = call("translate", str(config), stdin=sources, stdout=subprocess.PIPE)
            lines = translation.communicate()[0].splitlines()[-len(given[args.split]) :]
    steps = re.findall(r"Step: +(\d+).*?Tokens per Sec: +(\d+)", log)
    print(
        json.dumps(
            {
                "steps": int(steps[-1][0]) if steps else 0,
                "best_step": int(checkpoint.stem),
                "tokens_per_second": sum(int(s[1]) for s in steps) / max(1, len(steps)),
                "precision": "fp32",
                "outputs": [line.split() for line in lines],
            }
        )
    )


if __name__ == "__main__":
    main()
