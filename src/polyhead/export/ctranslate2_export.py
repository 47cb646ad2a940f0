"""Export to CTranslate2; it counts once the exported model scores real sentences as ours does."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from polyhead import __version__
from polyhead.errors import PolyheadError
from polyhead.export.ctranslate2_model import (
    library,
    save_ctranslate2,
    save_ctranslate2_gpt,
    words_of,
)
from polyhead.export.verify import (
    CLOSE,
    Exported,
    per_token_difference,
    sentences_of,
    texts_of,
)
from polyhead.files import new_folder, sha256, write_json
from polyhead.runs.folder import Run, check_free
from polyhead.tasks.language_modeling import LanguageModeling
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
    judge = _Written(run) if run.recipe.task == "language_modeling" else _Translated(run)
    difference = 0.0

    def fill(folder: Path) -> None:
        nonlocal difference
        with tempfile.TemporaryDirectory() as whole:  # layout first, then what rounding costs
            difference = _difference(judge, Path(whole), "float32", CLOSE)
        if quantization == "float32":
            judge.save(folder, quantization)
        else:
            difference = _difference(judge, folder, quantization, ROUNDED)
        judge.task.save(folder)
        write_json(folder / FACTS, facts_of(run, quantization) | {"difference": difference})

    new_folder(out, fill)
    return Exported(out, difference, judge.origin)


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
    return _opened(library().Translator, folder, quantization)


def open_generator(folder: Path, quantization: str) -> Any:
    """The same of a language model: ctranslate2.Generator."""
    return _opened(library().Generator, folder, quantization)


def _opened(kind: Any, folder: Path, quantization: str) -> Any:
    return kind(
        str(folder),
        device="cpu",
        compute_type=quantization,
        inter_threads=1,
        intra_threads=torch.get_num_threads(),
    )


class _Judge(Protocol):
    """A run's model, how it is written, and how far what was written is from it."""

    task: Any
    origin: str

    def save(self, folder: Path, quantization: str) -> None: ...

    def apart(self, folder: Path, quantization: str) -> float:
        """The largest difference of a text's log-probability, in nats a token."""


class _Translated:
    """A translator, judged by forced decoding of sentence pairs."""

    def __init__(self, run: Run):
        self.task = Task.load(run.recipe, run.path)
        self.model = run.load_model(self.task.sizes())
        self.sentences = sentences_of(self.task)
        self.origin = self.sentences.origin

    def save(self, folder: Path, quantization: str) -> None:
        source, target = self.task.source_tokenizer, self.task.target_tokenizer
        save_ctranslate2(self.model, source, target, folder, quantization)

    def apart(self, folder: Path, quantization: str) -> float:
        read = words_of(self.task.source_tokenizer)
        write = words_of(self.task.target_tokenizer)
        scored = open_translator(folder, quantization).score_batch(
            [[read[i] for i in row] for row in self.sentences.sources],
            [[write[i] for i in row[:-1]] for row in self.sentences.targets],  # it adds the end
            max_input_length=0,
        )
        theirs = [sum(found.log_probs) for found in scored]
        return per_token_difference(self.task, self.model, self.sentences, theirs)


class _Written:
    """A language model, judged by log-probabilities of texts."""

    def __init__(self, run: Run):
        self.task = LanguageModeling.load(run.recipe, run.path)
        self.model = run.load_model(self.task.sizes())
        texts, self.origin = texts_of(self.task)
        longest = min(64, int(self.model.config.max_length))  # type: ignore[union-attr, arg-type]
        rows = [row[:longest] for row in self.task.tokenizer.encode_all(texts)]
        self.rows = [row for row in rows if len(row) > 1]

    def save(self, folder: Path, quantization: str) -> None:
        save_ctranslate2_gpt(self.model, self.task.tokenizer, folder, quantization)

    @torch.inference_mode()
    def apart(self, folder: Path, quantization: str) -> float:
        words = words_of(self.task.tokenizer)
        tokens = [[words[i] for i in row] for row in self.rows]
        scored = open_generator(folder, quantization).score_batch(tokens, max_input_length=0)
        worst = 0.0
        for row, found in zip(self.rows, scored, strict=True):
            ids = torch.tensor([row])
            logits = self.model.head(self.model(ids[:, :-1])).float()  # type: ignore[operator]
            ours = logits.log_softmax(dim=-1).gather(2, ids[:, 1:, None]).sum()
            worst = max(worst, abs(float(ours) - sum(found.log_probs)) / (len(row) - 1))
        return worst


def _difference(judge: _Judge, folder: Path, quantization: str, most: float) -> float:
    """Write the model, load it, and compare; raises PolyheadError beyond `most` nats a token."""
    judge.save(folder, quantization)
    difference = judge.apart(folder, quantization)
    if not difference <= most:
        raise PolyheadError(
            f"the exported {quantization} model scores {judge.origin} up to {difference:.2g} "
            f"nats a token otherwise than the run; at most {most:g} is allowed, so nothing was "
            "written. Please report this with the recipe."
        )
    return difference
