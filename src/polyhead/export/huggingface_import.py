"""Taking GPT-2, BERT and Marian from Hugging Face's directories into run folders.

Only safetensors are read: a pickle runs whatever code it holds. What our models compute otherwise
is refused with the reason. The run counts once transformers, given the same directory, computes the
same logits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import tokenizers as hf
import torch
from tokenizers import models
from torch import Tensor, nn

from polyhead import registry
from polyhead.data.tokenizers import Tokenizer
from polyhead.errors import MissingExtraError, PolyheadError, RunError, UsageError
from polyhead.export.huggingface import compare_translations
from polyhead.export.huggingface_formats import FORMATS, Format, Settings, Weights
from polyhead.export.huggingface_heads import by_head
from polyhead.export.huggingface_labelled import compare_answers
from polyhead.export.huggingface_language import compare
from polyhead.export.huggingface_loading import library
from polyhead.export.marian_tokenizers import has_pair, read_pair
from polyhead.export.verify import TEXTS, Exported, random_sentences
from polyhead.models.bert import BERT
from polyhead.models.gpt import GPT
from polyhead.recipe.reading import load_recipe
from polyhead.runs import folder
from polyhead.runs.card import write_card
from polyhead.runs.folder import Run, read_weights, weights_of, write_weights

WANTED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.spm")
_BUFFERS = re.compile(r"\.attn\.(masked_)?bias$|position_ids$|embed_positions\.weight$")


def import_huggingface(source: str, out: Path) -> Exported:
    """Make a run folder of a directory, or of a model of the hub.

    Raises UsageError where there is no such directory, `out` exists, the weights are pickled or our
    models compute otherwise; RunError for a damaged directory; PolyheadError where transformers and
    the run differ.
    """
    library()
    folder.check_free(out)
    place = _local(source)
    settings = _json(place, "config.json")
    with _reading(place / "config.json"):
        kind = _format(place, settings)
    weights: Weights = _named(kind, _weights(place))
    with _reading(place / "config.json"):
        kind, weights = by_head(kind, settings, weights)
        sections = kind.sections(settings, weights)
    source_tokenizer, tokenizer = _tokenizers(kind, place)
    _check_special(kind, place, tokenizer)
    _check_end(settings, place, tokenizer)
    recipe = load_recipe(
        {
            "name": re.sub(r"[^\w.+-]+", "-", Path(source).name).strip("-") or "imported",
            "task": kind.task,
            **sections,
            "tokenizer": _tokenizer_section(tokenizer),
            "training": {"max_steps": 1},
        },
        imported=True,
    )
    module = registry.find("tasks", kind.task)
    own: dict[str, Any] = {"tokenizer": tokenizer}
    if kind.task == "translation":
        own = {"source_tokenizer": source_tokenizer, "target_tokenizer": tokenizer}
    if kind.learned is not None:
        own["learned"] = kind.learned
    task = module.Task(recipe, **own)
    model = Run(out, recipe).build_model(task.sizes()).eval()
    _fill(kind, model, weights, place, tokenizer)
    difference = _compare(kind, place, task, model)

    def write(made: Path) -> None:
        write_weights(made / "model.safetensors", weights_of(model))
        task.save(made)

    notes = {"complete": True, "stopped_because": "imported", "weights": "last"}
    origin = {"source": source, "model_type": settings["model_type"], "difference": difference}
    origin |= {"note": kind.fresh} if kind.fresh else {}
    run = folder.create(out, recipe, write, **notes, imported_from=origin)
    write_card(run, None)
    return Exported(out, difference, "texts and random tokens", kind.fresh)


def _local(source: str) -> Path:
    """The directory, fetched from the hub where the name is one of a model there."""
    path = Path(source)
    if path.is_dir():
        return path
    if path.exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source) or source.startswith("."):
        raise UsageError(
            f"{source} is no directory; a Hugging Face directory (config.json, model.safetensors, "
            "tokenizer.json) or a name of the hub, OWNER/NAME, is needed"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=list(WANTED)))
    except Exception as error:  # whatever the network, the hub or its client has
        reason = str(error).strip().split("\n")[0]
        raise PolyheadError(
            f"there is no directory {source}, and the hub gave no model of that name: {reason}"
        ) from None


def _json(place: Path, name: str) -> Settings:
    try:
        found = json.loads((place / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{place} has no {name}: it is not a Hugging Face directory, as save_pretrained leaves"
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{place / name} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise RunError(f"{place / name} is damaged: a JSON object is needed")
    return found


def _format(place: Path, settings: Settings) -> Format:
    kind = FORMATS.get(settings.get("model_type", ""))
    if kind is None:
        raise UsageError(
            f"{place} holds a model of type {settings.get('model_type')!r}; there are "
            f"{', '.join(FORMATS)}"
        )
    if reasons := [reason for reason, holds in kind.refused(settings).items() if holds]:
        raise UsageError(f"{place} cannot be taken in: {'; '.join(reasons)}")
    return kind


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise RunError where a JSON file lacks a value, or has one of the wrong type."""
    try:
        yield
    except KeyError as missing:
        raise RunError(f"{path} is damaged: it has no {missing}") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged: a value has the wrong type ({error})") from None


def _weights(place: Path) -> dict[str, Tensor]:
    """All tensors; raises UsageError where there are only pickles."""
    if (place / "model.safetensors").is_file():
        return read_weights(place / "model.safetensors")
    if (place / "model.safetensors.index.json").is_file():
        with _reading(place / "model.safetensors.index.json"):
            index = _json(place, "model.safetensors.index.json")
            files = sorted({Path(name).name for name in index["weight_map"].values()})
        parts = [read_weights(place / name) for name in files]
        return {name: tensor for part in parts for name, tensor in part.items()}
    if pickled := sorted(p.name for p in place.glob("*") if p.suffix in (".bin", ".pt", ".pth")):
        raise UsageError(
            f"{place} has its weights in {pickled[0]}, a pickle, which may run any code when it is "
            "read. Only safetensors are read here: where you trust the file, load it with "
            "transformers and save_pretrained it anew"
        )
    raise UsageError(f"{place} has no model.safetensors")


def _named(kind: Format, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights by their full names of today, without buffers."""
    found = {}
    whole = any(name.startswith(kind.prefix) for name in weights)
    for name, tensor in weights.items():
        if _BUFFERS.search(name):
            continue
        newer = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
        newer = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", newer)
        found[newer if whole else kind.prefix + newer] = tensor
    return found


@torch.no_grad()
def _fill(
    kind: Format, model: nn.Module, weights: Weights, place: Path, tokenizer: Tokenizer
) -> None:
    """Copy the weights in; raises RunError naming what does not fit."""
    views = kind.tensors(model)
    embedding = weights.get(kind.embedding)
    if embedding is None or embedding.dim() != 2:
        raise RunError(f"the weights of {place} have no matrix {kind.embedding}")
    rows = len(embedding)
    if rows != tokenizer.size:
        raise RunError(
            f"{place}: the tokenizer has {tokenizer.size:,} tokens, but the embedding has {rows:,} "
            "rows; they do not belong together"
        )
    unknown = [name for name in weights if name not in views and name not in kind.tied]
    if kind.fresh:
        views = {n: view for n, view in views.items() if not n.startswith("cls.")}
    faults = [f"missing: {name}" for name in views if name not in weights]
    faults += [f"unknown: {name}" for name in unknown]
    faults += [
        f"{name}: {tuple(weights[name].shape)}, needed {tuple(view.shape)}"
        for name, view in views.items()
        if name in weights and weights[name].shape != view.shape
    ]
    if faults:
        raise RunError(
            f"the weights of {place} do not fit its config.json:\n  " + "\n  ".join(faults[:10])
        )
    for name in kind.tied:
        other = weights.get(name, embedding)
        if other.shape == embedding.shape and not torch.equal(other, embedding):
            raise UsageError(f"{place} cannot be taken in: {name} is not the embedding's weight")
    for name, view in views.items():
        view.copy_(weights[name])


def _compare(kind: Format, place: Path, task: Any, model: nn.Module) -> float:
    if kind.learned is not None:
        texts = [*((text,) for text in TEXTS), TEXTS[:2]]
        return compare_answers(place, task, cast(BERT, model), texts)
    if task.recipe.task == "translation":
        return compare_translations(place, task, model, random_sentences(task))  # type: ignore[arg-type]
    heads = isinstance(model, GPT) or not kind.fresh  # a GPT's own is its embedding
    return compare(place, model, task.tokenizer, TEXTS, str(place), heads=heads)


# --- tokenizers


def _tokenizers(kind: Format, place: Path) -> tuple[Tokenizer, Tokenizer]:
    """Of the source and of the target: one and the same, but for OPUS-MT's pairs."""
    if kind.task == "translation" and has_pair(place):
        return read_pair(place)
    tokenizer = _tokenizer(place)
    return tokenizer, tokenizer


def _tokenizer(place: Path) -> Tokenizer:
    """Of tokenizer.json or, where there is none, what transformers makes of the older files."""
    path = place / "tokenizer.json"
    if path.is_file():
        return Tokenizer.load(path)
    try:
        made = library().AutoTokenizer.from_pretrained(place, local_files_only=True)
        return Tokenizer(hf.Tokenizer.from_str(made.backend_tokenizer.to_str()))
    except MissingExtraError:
        raise
    except Exception as error:  # anything may be wrong with the files
        raise UsageError(
            f"{place} has no tokenizer.json, and transformers makes none of what is there ({error})"
        ) from None


def _tokenizer_section(tokenizer: Tokenizer) -> dict[str, Any]:
    inner = tokenizer.inner
    kinds = {models.WordPiece: "wordpiece", models.Unigram: "unigram", models.WordLevel: "word"}
    kind = next((name for type_, name in kinds.items() if isinstance(inner.model, type_)), "bpe")
    if tokenizer.by_characters:
        kind = "char"
    lower = inner.normalizer is not None and inner.normalizer.normalize_str("A") == "a"
    least = 260 if kind == "bpe" else 4  # what a recipe may say; nothing depends on it here
    return {"kind": kind, "vocab_size": max(least, tokenizer.size), "lowercase": lower}


def _check_special(kind: Format, place: Path, tokenizer: Tokenizer) -> None:
    """Raise UsageError where the tokenizer lacks a special token that the task needs."""
    lacking = [
        f"{what} ({' or '.join(tokens)})"
        for what, tokens in kind.special.items()
        if all(tokenizer.inner.token_to_id(token) is None for token in tokens)
    ]
    if lacking:
        raise UsageError(f"the tokenizer of {place} has no token for {', '.join(lacking)}")


def _check_end(settings: Settings, place: Path, tokenizer: Tokenizer) -> None:
    """Raise UsageError where the model ends its texts with another token than ours would."""
    found = settings.get("eos_token_id")
    ends = found if isinstance(found, list) else [found]
    known = [end for end in ends if isinstance(end, int) and 0 <= end < tokenizer.size]
    if known and tokenizer.end_id not in known:
        theirs, ours = (tokenizer.inner.id_to_token(i) for i in (known[0], tokenizer.end_id))
        raise UsageError(
            f"{place} cannot be taken in: its config.json ends a text with {theirs!r} "
            f"(eos_token_id {known[0]}), and here {ours!r} does wherever a tokenizer has it"
        )
