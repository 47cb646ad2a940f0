"""GPT and BERT as Hugging Face's models of language, written here and checked by transformers.

A pre-norm GPT is a GPT2LMHeadModel, a post-norm one an OpenAIGPTLMHeadModel (GPT-1), BERT a
BertForMaskedLM or a BertForPreTraining.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers as hf
import torch
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn

from polyhead import registry
from polyhead.data.framing import Framer
from polyhead.data.tokenizers import Tokenizer
from polyhead.decoding.generate import Settings, generate_ids
from polyhead.errors import PolyheadError, UsageError
from polyhead.export.huggingface_loading import CLOSE, Theirs, library
from polyhead.export.huggingface_names import bert_tensors, contiguous, gpt_tensors
from polyhead.export.verify import Exported, texts_of
from polyhead.files import new_folder, write_json, write_text
from polyhead.models.bert import BERT
from polyhead.models.gpt import GPT
from polyhead.runs.folder import Run, check_free, write_weights

ACTIVATIONS = {
    "gpt2": {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu": "relu", "silu": "silu"},
    # its "gelu" is the tanh form
    "openai-gpt": {"gelu_tanh": "gelu", "relu": "relu", "silu": "silu"},
}
"""Ours as they are called in each `model_type`."""
HEADS = {
    "gpt2": (
        *("LMHeadModel", "ForSequenceClassification"),
        *("ForTokenClassification", "ForQuestionAnswering"),
    ),
    "openai-gpt": ("LMHeadModel", "ForSequenceClassification"),
}
"""How the names of each one's classes end."""
LONGEST, WRITTEN = 64, 20  # tokens of the rows to compare, tokens written greedily


def export_language(run: Run, out: Path) -> Exported:
    """Write the folder; it is loaded by transformers and compared before it counts.

    Raises UsageError where `out` exists or their format cannot hold the model, PolyheadError where
    the loaded model or tokenizer does otherwise than the run.
    """
    library()
    check_free(out)
    task: Any = registry.find("tasks", run.recipe.task).Task.load(run.recipe, run.path)
    model = run.load_model(task.sizes())
    tokenizer = task.tokenizer
    tensors, config = _as_theirs(model, tokenizer)
    framer = None
    if isinstance(model, BERT):
        end = tokenizer.end_id
        framer = Framer(tokenizer.begin_id, end, end, model.config.max_length)
    texts, origin = texts_of(task)
    difference = 0.0

    def fill(folder: Path) -> None:
        nonlocal difference
        write_weights(folder / "model.safetensors", contiguous(tensors))
        write_json(folder / "config.json", config)
        write_tokenizer(folder, model, tokenizer, framer)
        if isinstance(model, GPT):
            write_json(folder / "generation_config.json", _generation(tokenizer))
        difference = compare(folder, model, tokenizer, texts, f"the export, on {origin},")

    new_folder(out, fill)
    return Exported(out, difference, f"{origin} and random tokens")


def _as_theirs(model: nn.Module, tokenizer: Tokenizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(weights by their names, config.json); raises UsageError for what has no home there."""
    if isinstance(model, BERT):
        pretraining = model.next_sentence is not None
        kind = "BertForPreTraining" if pretraining else "BertForMaskedLM"
        return bert_tensors(model), bert_config(model, tokenizer, kind)
    if isinstance(model, GPT):
        return gpt_tensors(model), gpt_config(model, tokenizer, "LMHeadModel")
    raise UsageError(f"a {type(model).__name__} has no form among Hugging Face's language models")


def gpt_config(model: GPT, tokenizer: Tokenizer, home: str) -> dict[str, Any]:
    """config.json of a GPT that transformers loads as the class whose name ends with `home`.

    Raises UsageError for what has no home there.
    """
    config = model.config
    if config.norm == "pre":
        kind, name, activation = "gpt2", f"GPT2{home}", "activation_function"
    else:
        kind, name, activation = "openai-gpt", f"OpenAIGPT{home}", "afn"
    own = ACTIVATIONS[kind].get(config.activation)
    reasons = {
        f"its activation is {config.activation} (model.activation), and there is "
        f"{', '.join(ACTIVATIONS[kind])}": own is None,
        f"its feed-forward layers are {config.d_ff} wide (model.d_ff), and there they have 4 times "
        f"the model's width": kind == "openai-gpt" and config.d_ff != 4 * config.d_model,
        "there is no such class": home not in HEADS[kind],
    }
    if found := [reason for reason, holds in reasons.items() if holds]:
        raise UsageError(
            f"Hugging Face's {name} cannot hold this model: {'; '.join(found)}. `--to onnx` does"
        )
    return {
        "model_type": kind,
        "architectures": [name],
        "vocab_size": tokenizer.size,
        "n_positions": config.max_length,
        "n_embd": config.d_model,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        **({"n_inner": config.d_ff} if kind == "gpt2" else {}),
        activation: own,
        "layer_norm_epsilon": nn.LayerNorm(1).eps,
        **{f"{part}_pdrop": config.dropout for part in ("resid", "embd", "attn")},
        "tie_word_embeddings": True,
        **_special(tokenizer),
    }


def bert_config(model: BERT, tokenizer: Tokenizer, architecture: str) -> dict[str, Any]:
    """config.json of a BERT that transformers loads as `architecture`."""
    config = model.config
    return {
        "model_type": "bert",
        "architectures": [architecture],
        "vocab_size": tokenizer.size,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.d_ff,
        "hidden_act": "gelu",
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "max_position_embeddings": config.max_length,
        "type_vocab_size": len(model.texts.weight),
        "layer_norm_eps": config.norm_eps,
        "position_embedding_type": "absolute",
        "tie_word_embeddings": True,
        "pad_token_id": tokenizer.pad_id,
    }


def _special(tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "bos_token_id": tokenizer.end_id,  # a document begins after the end of another
        "eos_token_id": tokenizer.end_id,
        "pad_token_id": tokenizer.pad_id,
    }


def _generation(tokenizer: Tokenizer) -> dict[str, Any]:
    return {"suppress_tokens": list(tokenizer.never), **_special(tokenizer)}


def write_tokenizer(
    folder: Path, model: nn.Module, tokenizer: Tokenizer, framer: Framer | None
) -> None:
    """Their files of a tokenizer, which frames texts as the framer does, or not at all."""
    copy = hf.Tokenizer.from_str(tokenizer.inner.to_str())
    names = {"eos_token": tokenizer.end_id, "pad_token": tokenizer.pad_id}
    if tokenizer.unknown_id >= 0:
        names["unk_token"] = tokenizer.unknown_id
    read = ["input_ids", "attention_mask"]
    if isinstance(model, BERT):
        names |= {
            "cls_token": tokenizer.begin_id,
            "sep_token": tokenizer.end_id,
            "mask_token": tokenizer.mask_id,
        }
        read.insert(1, "token_type_ids")
    else:
        names["bos_token"] = tokenizer.end_id
    if framer is None:
        copy.post_processor = TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    else:
        around = [framer.begin, framer.between, framer.end]
        begin, between, end = (str(copy.id_to_token(i)) for i in around)
        copy.post_processor = TemplateProcessing(
            single=f"{begin} $A {end}",
            pair=f"{begin} $A {between} $B:1 {end}:1",
            special_tokens=sorted(set(zip((begin, between, end), around, strict=True))),
        )
    write_text(folder / "tokenizer.json", copy.to_str(pretty=True))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.config.max_length,  # type: ignore[union-attr]
        "model_input_names": read,
        "clean_up_tokenization_spaces": False,
    }
    tokens = {name: str(copy.id_to_token(token_id)) for name, token_id in names.items()}
    write_json(folder / "tokenizer_config.json", settings | tokens)


# --- comparing


@torch.no_grad()
def compare(
    folder: Path,
    model: nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    what: str,
    *,
    heads: bool = True,
) -> float:
    """The largest difference of a logit between a folder, as transformers loads it, and our model.

    Without `heads` hidden states are compared. Raises PolyheadError where they are more than 1e-4
    apart, where texts are cut otherwise, or where a GPT writes other tokens.
    """
    pretraining = isinstance(model, BERT) and model.next_sentence is not None
    kind = "CausalLM" if isinstance(model, GPT) else "PreTraining" if pretraining else "MaskedLM"
    theirs = Theirs.load(folder, kind if heads else "")
    longest = min(LONGEST, _places(model) - 2)
    rows = [row[:longest] for row in tokenizer.encode_all(texts) if row]
    random = np.random.default_rng(1)
    rows += [random.integers(0, tokenizer.size, n).tolist() for n in (1, 2, longest)]
    if isinstance(model, BERT):
        rows = [[tokenizer.begin_id, *row, tokenizer.end_id] for row in rows]
    problems = []
    difference = max(_difference(model, theirs.model, torch.tensor([row]), heads) for row in rows)
    if not difference <= CLOSE:
        problems.append(f"logits differ by up to {difference:.2g}, more than {CLOSE:g}")
    if isinstance(model, GPT) and _writes_otherwise(model, theirs.model, tokenizer, rows):
        problems.append("greedy continuations differ")
    framed = isinstance(model, BERT)
    for text, row in zip(texts, tokenizer.encode_all(list(texts)), strict=True):
        wanted = [tokenizer.begin_id, *row, tokenizer.end_id] if framed else row
        found = theirs.tokenizer(text, add_special_tokens=framed, split_special_tokens=True)
        if found["input_ids"] != wanted:
            problems.append(f"the tokenizer cuts {text[:40]!r} otherwise")
            break
    if problems:
        raise PolyheadError(
            f"{what} does otherwise in transformers than here: {'; '.join(problems)}. Nothing was "
            "written"
        )
    return difference


def _places(model: nn.Module) -> int:
    return int(model.config.max_length)  # type: ignore[union-attr, arg-type]


def _difference(model: nn.Module, theirs: Any, row: Tensor, heads: bool) -> float:
    hidden = model(row)
    found = theirs(row)
    if not heads:
        return float((hidden - found.last_hidden_state).abs().max())
    logits = model.head(hidden)  # type: ignore[operator]
    if not isinstance(model, BERT) or model.next_sentence is None:
        return float((logits - found.logits).abs().max())
    masked = (logits - found.prediction_logits).abs().max()
    told = (model.next_sentence(hidden) - found.seq_relationship_logits).abs().max()
    return max(float(masked), float(told))


def _writes_otherwise(
    model: nn.Module, theirs: Any, tokenizer: Tokenizer, rows: Sequence[list[int]]
) -> bool:
    prompts = [row[: LONGEST - WRITTEN] for row in rows]
    count = min(WRITTEN, _places(model) - max(map(len, prompts)))
    if count < 1:
        return False
    ours = generate_ids(model, prompts, tokenizer, Settings(max_tokens=count))
    for prompt, (found,) in zip(prompts, ours, strict=True):
        written = theirs.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), do_sample=False,
            num_beams=1, max_new_tokens=count, max_length=None, suppress_tokens=tokenizer.never,
            eos_token_id=tokenizer.end_id, pad_token_id=tokenizer.pad_id,
        )  # fmt: skip
        tail = [tokenizer.end_id] if found.finish_reason == "stop" else []
        if written[0, len(prompt) :].tolist()[:count] != [*found.tokens, *tail]:
            return True
    return False
