"""Export to CTranslate2; it counts once the exported model scores real sentences as ours does."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from polyhead import __version__
from polyhead.errors import PolyheadError
from polyhead.export.ctranslate2_model import library, save_ctranslate2, words_of
from polyhead.export.verify import CLOSE, Exported, Sentences, per_token_difference, sentences_of
from polyhead.files import new_folder, sha256, write_json
from polyhead.runs.folder import Run, check_free
from polyhead.tasks.translation import Task

Quantization = Literal["float32", "int8"]
FACTS = "polyhead.json"
ROUNDED = 0.5  # nats a token: more is no rounding to 8 bits


def export_ctranslate2(run: Run, out: Path, quantization: Quantization = "float32") -> Exported:
    """Write a CTranslate2 model folder with the tokenizers, loaded and compared before it counts.

    Raises UsageError where `out` exists or the model cannot be held, PolyheadError where the
    exported model scores otherwise than the run.
    """
    library()
    check_free(out)
    task = Task.load(run.recipe, run.path)
    model = run.load_model(task.sizes())
    sentences = sentences_of(task)
    difference = 0.0

    def fill(folder: Path) -> None:
        nonlocal difference
        with tempfile.TemporaryDirectory() as whole:  # layout first, then what rounding costs
            difference = _difference(task, model, sentences, Path(whole), "float32", CLOSE)
        if quantization == "float32":
            save_ctranslate2(
                model, task.source_tokenizer, task.target_tokenizer, folder, quantization
            )
        else:
            difference = _difference(task, model, sentences, folder, quantization, ROUNDED)
        task.save(folder)
        write_json(folder / FACTS, facts_of(run, quantization) | {"difference": difference})

    new_folder(out, fill)
    return Exported(out, difference, sentences.origin)


def facts_of(run: Run, quantization: str) -> dict[str, Any]:
    """What an export was made from: it is stale where these no longer hold."""
    return {
        "weights_sha256": sha256(run.path / "model.safetensors"),
        "quantization": quantization,
        "polyhead_version": __version__,
    }


def is_current(folder: Path, run: Run, quantization: str) -> bool:
    """Whether a folder holds the export of the run's present weights."""
    try:
        found = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(facts_of(run, quantization).items() <= found.items())


def open_translator(folder: Path, quantization: str) -> Any:
    """ctranslate2.Translator on a folder, with torch's number of threads in each batch."""
    return library().Translator(
        str(folder),
        device="cpu",
        compute_type=quantization,
        inter_threads=1,
        intra_threads=torch.get_num_threads(),
    )


def _difference(
    task: Task, model: nn.Module, sentences: Sentences, folder: Path, quantization: str, most: float
) -> float:
    """Write the model, load it, and compare; raises PolyheadError beyond `most` nats a token."""
    source, target = task.source_tokenizer, task.target_tokenizer
    save_ctranslate2(model, source, target, folder, quantization)
    read, write = words_of(source), words_of(target)
    scored = open_translator(folder, quantization).score_batch(
        [[read[i] for i in row] for row in sentences.sources],
        [[write[i] for i in row[:-1]] for row in sentences.targets],  # it adds the end itself
        max_input_length=0,
    )
    theirs = [sum(found.log_probs) for found in scored]
    difference = per_token_difference(task, model, sentences, theirs)
    if not difference <= most:
        raise PolyheadError(
            f"the exported {quantization} model scores {sentences.origin} up to {difference:.2g} "
            f"nats a token otherwise than the run; at most {most:g} is allowed, so nothing was "
            "written. Please report this with the recipe."
        )
    return difference
