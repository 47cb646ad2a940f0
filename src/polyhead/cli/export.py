"""The commands that write runs in other programs' formats, and take them in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from polyhead.errors import UsageError


def export(
    run: Path,
    *,
    to: Literal["ctranslate2", "huggingface", "onnx"],
    out: Path,
    quantization: Literal["float32", "int8"] = "float32",
) -> None:
    """Write a run in another program's format; it is loaded and compared before it counts.

    Parameters
    ----------
    run
        a run folder
    to
        ctranslate2: a model for CTranslate2. huggingface: a model for the Auto classes and its
        tokenizer: Marian (post-norm, sinusoidal positions, one vocabulary), GPT-2 (pre-norm), GPT-1
        (post-norm), BERT. onnx: a graph from token ids to logits, and the tokenizers
    out
        the folder to write
    quantization
        of CTranslate2's weights
    """
    from polyhead import api

    if to != "ctranslate2" and quantization != "float32":
        raise UsageError(
            "--quantization is about --to ctranslate2; other formats' weights are fp32"
        )
    made = api.load(run).export(to, out, quantization=quantization)
    what = "in nats a target token" if to == "ctranslate2" else "of a logit"
    print(made.path)
    print(f"largest difference {what}: {made.difference:.2g}, on {made.compared_on}")


def import_(source: str, *, out: Path) -> None:
    """Take GPT-1, GPT-2, BERT or Marian from a Hugging Face directory, or the hub, into a run.

    Parameters
    ----------
    source
        a directory with config.json, safetensors and a tokenizer, or OWNER/NAME of the hub
    out
        the run folder to make
    """
    from polyhead import machine
    from polyhead.export.huggingface_import import import_huggingface
    from polyhead.training.progress import say

    machine.apply(machine.choose("fp32"))
    made = import_huggingface(source, out)
    if made.note:
        say(made.note)
    print(made.path)
    print(f"largest difference of a logit: {made.difference:.2g}, on {made.compared_on}")
