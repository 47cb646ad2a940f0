"""The command that writes runs in other programs' formats."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from polyhead.errors import UsageError


def export(
    run: Path,
    *,
    to: Literal["ctranslate2", "huggingface"],
    out: Path,
    quantization: Literal["float32", "int8"] = "float32",
) -> None:
    """Write a run in another program's format; it is loaded and compared before it counts.

    Parameters
    ----------
    run
        a run folder
    to
        ctranslate2: a model for CTranslate2. huggingface: a MarianMTModel with its tokenizer, for
        AutoModelForSeq2SeqLM and AutoTokenizer (post-norm, sinusoidal positions, one vocabulary)
    out
        the folder to write
    quantization
        of CTranslate2's weights
    """
    from polyhead import api

    if to == "huggingface" and quantization != "float32":
        raise UsageError(
            "--quantization is about --to ctranslate2; Hugging Face's weights are fp32"
        )
    made = api.load(run).export(to, out, quantization=quantization)
    what = "of a logit" if to == "huggingface" else "in nats a target token"
    print(made.path)
    print(f"largest difference {what}: {made.difference:.2g}, on {made.compared_on}")
