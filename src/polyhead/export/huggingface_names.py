"""What each weight is called in Hugging Face's files, as views onto our own parameters.

A view is read to export a model and written to import one. Where they keep three matrices and we
one, or theirs lies transposed, the view says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from torch import Tensor, nn

from polyhead.layers.block import DecoderBlock, EncoderBlock
from polyhead.models.bert import BERT, Pooler
from polyhead.models.gpt import GPT
from polyhead.models.transformer import Transformer

Parts = dict[str, dict[str, Tensor]]


def contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of views, as a file wants them."""
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def gpt_tensors(model: GPT) -> dict[str, Tensor]:
    """By the names of GPT2LMHeadModel, of a post-norm one OpenAIGPTLMHeadModel: GPT-1's shape.

    Their matrices are [in,out].
    """
    pre = model.config.norm == "pre"
    token, position = ("wte", "wpe") if pre else ("tokens_embed", "positions_embed")
    found = {
        f"transformer.{token}.weight": model.embedding.weight,
        f"transformer.{position}.weight": cast(Tensor, model.positions.table),
    }
    if pre:
        found |= _flat("transformer.ln_f", {"": _tensors(cast(nn.LayerNorm, model.norm))})
    for number, block in enumerate(cast("Iterable[EncoderBlock]", model.blocks)):
        parts = {
            "ln_1": _tensors(block.attention_residual.norm),
            "attn.c_attn": _transposed(block.attention.query_key_value),
            "attn.c_proj": _transposed(block.attention.output),
            "ln_2": _tensors(block.feedforward_residual.norm),
            "mlp.c_fc": _transposed(block.feedforward.inner),
            "mlp.c_proj": _transposed(block.feedforward.outer),
        }
        found |= _flat(f"transformer.h.{number}", parts)
    return found


def bert_tensors(model: BERT) -> dict[str, Tensor]:
    """By the names of BertForMaskedLM, BertForPreTraining, or one that answers (`classifier`)."""
    found = {
        "bert.embeddings.word_embeddings.weight": model.embedding.weight,
        "bert.embeddings.position_embeddings.weight": cast(Tensor, model.positions.table),
        "bert.embeddings.token_type_embeddings.weight": model.texts.weight,
        **_flat("bert.embeddings", {"LayerNorm": _tensors(model.embedding_norm)}),
    }
    for number, block in enumerate(cast("Iterable[EncoderBlock]", model.blocks)):
        own = block.attention
        parts = {
            **_projections("attention.self.{}", ("query", "key", "value"), own.query_key_value),
            "attention.output.dense": _tensors(own.output),
            "attention.output.LayerNorm": _tensors(block.attention_residual.norm),
            "intermediate.dense": _tensors(block.feedforward.inner),
            "output.dense": _tensors(block.feedforward.outer),
            "output.LayerNorm": _tensors(block.feedforward_residual.norm),
        }
        found |= _flat(f"bert.encoder.layer.{number}", parts)
    return found | _bert_heads(model)


def _bert_heads(model: BERT) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    if model.head is not None:
        found["cls.predictions.bias"] = model.head.bias
        parts = {"dense": _tensors(model.head.transform), "LayerNorm": _tensors(model.head.norm)}
        found |= _flat("cls.predictions.transform", parts)
    if model.next_sentence is not None:
        found |= _flat("bert.pooler", {"dense": _tensors(model.next_sentence.pooler.dense)})
        found |= _flat("cls", {"seq_relationship": _tensors(model.next_sentence.output)})
    if model.answers is not None:
        pooler = model.answers.pooler
        if isinstance(pooler, Pooler):
            found |= _flat("bert.pooler", {"dense": _tensors(pooler.dense)})
        found |= _flat("", {"classifier": _tensors(model.answers.output)})
    return found


def marian_tensors(model: Transformer) -> dict[str, Tensor]:
    """A Transformer of one vocabulary by the names of MarianMTModel."""
    shared, bias = model.target_embedding.weight, model.head.bias
    biases = shared.new_zeros(len(shared)) if bias is None else bias
    found = {"model.shared.weight": shared, "final_logits_bias": biases[None]}
    for side, blocks in (("encoder", model.encoder), ("decoder", model.decoder)):
        for number, block in enumerate(cast("Iterable[EncoderBlock | DecoderBlock]", blocks)):
            found |= _flat(f"model.{side}.layers.{number}", _marian_parts(block))
    return found


def _marian_parts(block: EncoderBlock | DecoderBlock) -> Parts:
    own = block.attention
    parts = {
        **_projections("self_attn.{}_proj", "qkv", own.query_key_value),
        "self_attn.out_proj": _tensors(own.output),
        "self_attn_layer_norm": _tensors(block.attention_residual.norm),
        "fc1": _tensors(block.feedforward.inner),
        "fc2": _tensors(block.feedforward.outer),
        "final_layer_norm": _tensors(block.feedforward_residual.norm),
    }
    if isinstance(block, DecoderBlock):
        cross = block.cross
        parts |= {
            "encoder_attn.q_proj": _tensors(cross.query),
            **_projections("encoder_attn.{}_proj", "kv", cross.key_value),
            "encoder_attn.out_proj": _tensors(cross.output),
            "encoder_attn_layer_norm": _tensors(block.cross_residual.norm),
        }
    return parts


def _projections(name: str, letters: Iterable[str], fused: nn.Linear) -> Parts:
    """The parts of one product, each by its own name."""
    letters = list(letters)
    pieces = zip(fused.weight.chunk(len(letters)), fused.bias.chunk(len(letters)), strict=True)
    return {
        name.format(letter): {"weight": weight, "bias": bias}
        for letter, (weight, bias) in zip(letters, pieces, strict=True)
    }


def _tensors(part: nn.Linear | nn.LayerNorm) -> dict[str, Tensor]:
    return {"weight": part.weight, "bias": part.bias}


def _transposed(part: nn.Linear) -> dict[str, Tensor]:
    return {"weight": part.weight.t(), "bias": part.bias}


def _flat(place: str, parts: Parts) -> dict[str, Tensor]:
    return {
        ".".join(filter(None, (place, name, kind))): tensor
        for name, part in parts.items()
        for kind, tensor in part.items()
    }
