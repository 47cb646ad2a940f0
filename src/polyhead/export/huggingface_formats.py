"""What our models take of Hugging Face's GPTs, BERT and Marian, and what they do otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from polyhead.data.tokenizers import BEGINS, ENDS, MASKS, PADS
from polyhead.export.huggingface import ACTIVATIONS as MARIAN_ACTIVATIONS
from polyhead.export.huggingface_language import ACTIVATIONS
from polyhead.export.huggingface_names import bert_tensors, gpt_tensors, marian_tensors

Settings = dict[str, Any]
"""Their config.json."""
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Format:
    """One `model_type` of theirs: what of it our model takes, and by which names."""

    task: str
    refused: Callable[[Settings], Mapping[str, bool]]  # reasons that hold or do not
    sections: Callable[[Settings, Weights], dict[str, Any]]  # of the recipe: model, data
    tensors: Callable[[Any], dict[str, Tensor]]
    special: Mapping[str, tuple[str, ...]]  # tokens that the task needs, by any of these names
    embedding: str  # the name of the weight that has a row for every token
    prefix: str  # of the weights, left out where only the inner model was saved
    tied: tuple[str, ...]  # names that may repeat the embedding, or are of no use to the task
    learned: dict[str, Any] | None = None  # of a task about labelled texts: what labels.json says
    fresh: str = ""  # why heads (`cls.…`) begin fresh, and what is so; empty: they do not


def _activation(settings: Settings) -> str:
    """What a GPT or a Marian calls its activation."""
    key, usual = {
        "gpt2": ("activation_function", "gelu_new"),
        "openai-gpt": ("afn", "gelu"),
        "marian": ("activation_function", "gelu"),
    }[settings["model_type"]]
    found = str(settings.get(key, usual))
    return "silu" if found == "swish" else found  # two names of one


def _own(activations: Mapping[str, str]) -> dict[str, str]:
    """Our names by theirs."""
    return {theirs: own for own, theirs in activations.items()}


def _gpt_refused(settings: Settings) -> dict[str, bool]:
    known = ACTIVATIONS[settings["model_type"]].values()
    return {
        f"its activation is {_activation(settings)} (known: {', '.join(known)})": (
            _activation(settings) not in known
        ),
        "its layer norms have another epsilon than 1e-5": (
            settings.get("layer_norm_epsilon", 1e-5) != 1e-5
        ),
        "its scores are scaled in another way": (
            not settings.get("scale_attn_weights", True)
            or bool(settings.get("scale_attn_by_inverse_layer_idx"))
        ),
        "it attends to another model": bool(settings.get("add_cross_attention")),
        "its output has weights of its own": not settings.get("tie_word_embeddings", True),
    }


def _gpt_sections(settings: Settings, weights: Weights) -> dict[str, Any]:
    kind = settings["model_type"]
    model = {
        "kind": "gpt",
        "d_model": settings["n_embd"],
        "num_layers": settings["n_layer"],
        "num_heads": settings["n_head"],
        "d_ff": settings.get("n_inner") or 4 * settings["n_embd"],
        "max_length": settings["n_positions"],
        "norm": "pre" if kind == "gpt2" else "post",
        "activation": _own(ACTIVATIONS[kind])[_activation(settings)],
        "dropout": settings.get("resid_pdrop", 0.1),
    }
    data = {"train": [], "valid": [], "context": settings["n_positions"]}
    return {"model": model, "data": data}


def _gpt_format(embedding: str) -> Format:
    return Format(
        task="language_modeling",
        refused=_gpt_refused,
        sections=_gpt_sections,
        tensors=gpt_tensors,
        special={"the end of a document": ENDS},
        embedding=f"transformer.{embedding}.weight",
        prefix="transformer.",
        tied=("lm_head.weight",),
    )


def _bert_refused(settings: Settings) -> dict[str, bool]:
    positions = settings.get("position_embedding_type", "absolute")
    return {
        f"its activation is {settings.get('hidden_act')}, and ours gelu": (
            settings.get("hidden_act", "gelu") != "gelu"
        ),
        f"its positions are {positions}, and ours absolute": positions != "absolute",
        f"it tells {settings.get('type_vocab_size')} kinds of text apart, and ours 2": (
            settings.get("type_vocab_size", 2) != 2
        ),
        "it is a decoder": bool(settings.get("is_decoder")),
        "its output has weights of its own": not settings.get("tie_word_embeddings", True),
    }


def bert_model(settings: Settings) -> dict[str, Any]:
    """The `model:` section of a BERT."""
    return {
        "kind": "bert",
        "d_model": settings["hidden_size"],
        "num_layers": settings["num_hidden_layers"],
        "num_heads": settings["num_attention_heads"],
        "d_ff": settings["intermediate_size"],
        "max_length": settings["max_position_embeddings"],
        "norm_eps": settings.get("layer_norm_eps", 1e-12),
        "dropout": settings.get("hidden_dropout_prob", 0.1),
    }


def _bert_sections(settings: Settings, weights: Weights) -> dict[str, Any]:
    data = {
        "train": [],
        "valid": [],
        "context": settings["max_position_embeddings"],
        "next_sentence": "cls.seq_relationship.weight" in weights,
    }
    return {"model": bert_model(settings), "data": data}


def _marian_refused(settings: Settings) -> dict[str, bool]:
    same = all(
        settings[f"encoder_{key}"] == settings[f"decoder_{key}"]
        for key in ("layers", "attention_heads", "ffn_dim")
    )
    last = settings["vocab_size"] - 1
    known = MARIAN_ACTIVATIONS.values()
    return {
        f"its activation is {_activation(settings)} (known: {', '.join(known)})": (
            _activation(settings) not in known
        ),
        "its languages have an embedding each": (
            not settings.get("share_encoder_decoder_embeddings", True)
            or settings.get("decoder_vocab_size") not in (None, settings["vocab_size"])
        ),
        "its encoder and decoder have different sizes": not same,
        "its end token is not 0, or its pad token, which starts the decoder, is not the last": (
            settings.get("eos_token_id") != 0
            or settings.get("pad_token_id") != last
            or settings.get("decoder_start_token_id") != last
        ),
    }


def _marian_sections(settings: Settings, weights: Weights) -> dict[str, Any]:
    model = {
        "kind": "transformer",
        "d_model": settings["d_model"],
        "num_layers": settings["encoder_layers"],
        "num_heads": settings["encoder_attention_heads"],
        "d_ff": settings["encoder_ffn_dim"],
        "activation": _own(MARIAN_ACTIVATIONS)[_activation(settings)],
        "scale_embeddings": bool(settings.get("scale_embedding", False)),
        "output_bias": "final_logits_bias" in weights and bool(weights["final_logits_bias"].any()),
        "dropout": settings.get("dropout", 0.1),
        "max_length": settings["max_position_embeddings"],
    }
    languages = {"source_language": "und", "target_language": "und"}  # the files do not say
    return {"model": model, "data": {**languages, "train": [], "valid": []}}


FORMATS = {
    "gpt2": _gpt_format("wte"),
    "openai-gpt": _gpt_format("tokens_embed"),
    "bert": Format(
        task="masked_lm",
        refused=_bert_refused,
        sections=_bert_sections,
        tensors=bert_tensors,
        special={"the beginning": BEGINS, "the end": ENDS, "what is masked": MASKS},
        embedding="bert.embeddings.word_embeddings.weight",
        prefix="bert.",
        tied=(
            *("cls.predictions.decoder.weight", "cls.predictions.decoder.bias"),
            *("bert.pooler.dense.weight", "bert.pooler.dense.bias"),  # of use to next sentences
        ),
    ),
    "marian": Format(
        task="translation",
        refused=_marian_refused,
        sections=_marian_sections,
        tensors=marian_tensors,
        special={"the end": ENDS[:1], "the start of a translation": PADS},
        embedding="model.shared.weight",
        prefix="model.",
        tied=(
            *("lm_head.weight", "model.encoder.embed_tokens.weight"),
            "model.decoder.embed_tokens.weight",
        ),
    ),
}
