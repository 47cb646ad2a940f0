"""A run as a CTranslate2 model: its Transformer specification, filled with our weights as they are.

CTranslate2 holds pre- and post-norm, any table of positions, scaled and unscaled scores, one
vocabulary or two. The pad token, which starts our decoder, stays an ordinary row of its vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from polyhead.data.tokenizers import Tokenizer
from polyhead.data.vocabularies import END, PAD, UNKNOWN
from polyhead.errors import MissingExtraError, UsageError
from polyhead.layers.block import DecoderBlock, EncoderBlock
from polyhead.layers.feedforward import Activation
from polyhead.models.gpt import GPT
from polyhead.models.transformer import Transformer

_ACTIVATIONS: dict[Activation, str] = {
    "gelu_tanh": "GELUTanh",
    "gelu": "GELU",
    "relu": "RELU",
    "silu": "SWISH",
}


def library() -> Any:
    """The package ctranslate2; raises MissingExtraError where it is not installed."""
    try:
        import ctranslate2
    except ModuleNotFoundError:
        raise MissingExtraError("CTranslate2", "ctranslate2", "ctranslate2") from None
    return ctranslate2


def words_of(tokenizer: Tokenizer) -> list[str]:
    """The tokens by id, as CTranslate2 wants them."""
    return [str(tokenizer.inner.id_to_token(i)) for i in range(tokenizer.size)]


def as_transformer(model: nn.Module) -> Transformer:
    """The model, if it is a Transformer; raises UsageError for what no export holds."""
    if isinstance(model, Transformer):
        return model
    raise UsageError(
        f"a {type(model).__name__} cannot be exported: of models that translate the formats hold "
        "the Transformer alone (model.kind: transformer)"
    )


def save_ctranslate2(
    model: nn.Module, source: Tokenizer, target: Tokenizer, folder: Path, quantization: str
) -> None:
    """Write model.bin, config.json and the vocabularies; quantization: float32 or int8.

    Raises UsageError for a model that the format cannot hold.
    """
    spec = _specification(as_transformer(model))
    spec.register_source_vocabulary(words_of(source))
    spec.register_target_vocabulary(words_of(target))
    spec.config.unk_token, spec.config.eos_token, spec.config.bos_token = UNKNOWN, END, END
    spec.config.decoder_start_token = PAD
    spec.config.layer_norm_epsilon = nn.LayerNorm(1).eps
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))


def save_ctranslate2_gpt(
    model: nn.Module, tokenizer: Tokenizer, folder: Path, quantization: str
) -> None:
    """The same of a GPT, for ctranslate2.Generator."""
    library()
    from ctranslate2 import specs

    if not isinstance(model, GPT):
        raise UsageError(f"a {type(model).__name__} is no GPT, which alone CTranslate2 writes with")
    config = model.config
    spec = specs.TransformerDecoderModelSpec.from_config(
        config.num_layers,
        config.num_heads,
        pre_norm=config.norm == "pre",
        activation=getattr(specs.Activation, _ACTIVATIONS[config.activation]),
    )
    decoder = spec.decoder
    decoder.scale_embeddings = False
    _put(decoder.embeddings, weight=model.embedding.weight)
    _put(decoder.projection, weight=model.head.weight)
    decoder.position_encodings.encodings = _numbers(cast(Tensor, model.positions.table))
    if isinstance(model.norm, nn.LayerNorm):
        _put(decoder.layer_norm, gamma=model.norm.weight, beta=model.norm.bias)
    for layer, block in zip(
        decoder.layer, cast("Iterable[EncoderBlock]", model.blocks), strict=True
    ):
        _put_block(layer, block, None)
    words = words_of(tokenizer)
    spec.register_vocabulary(words)
    spec.config.bos_token = spec.config.eos_token = words[tokenizer.end_id]
    spec.config.unk_token = words[tokenizer.unknown_id if tokenizer.unknown_id >= 0 else 0]
    spec.config.layer_norm_epsilon = nn.LayerNorm(1).eps
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))


def _specification(model: Transformer) -> Any:
    library()
    from ctranslate2 import specs

    config = model.config
    spec = specs.TransformerSpec.from_config(
        (config.num_layers, config.num_layers),
        config.num_heads,
        pre_norm=config.norm == "pre",
        activation=getattr(specs.Activation, _ACTIVATIONS[config.activation]),
    )
    encoder, decoder = spec.encoder, spec.decoder
    _put(encoder.embeddings[0], weight=model.source_embedding.weight)
    _put(decoder.embeddings, weight=model.target_embedding.weight)
    _put(decoder.projection, weight=model.head.weight)
    if model.head.bias is not None:
        _put(decoder.projection, bias=model.head.bias)
    encoder.scale_embeddings = decoder.scale_embeddings = config.scale_embeddings
    for part, norm in ((encoder, model.encoder_norm), (decoder, model.decoder_norm)):
        part.position_encodings.encodings = _positions(model)
        if isinstance(norm, nn.LayerNorm):
            _put(part.layer_norm, gamma=norm.weight, beta=norm.bias)
    scale = None if config.scale_scores else np.float32(1.0)  # CTranslate2's own is the root
    encoders = cast("Iterable[EncoderBlock]", model.encoder)
    for layer, block in zip(encoder.layer, encoders, strict=True):
        _put_block(layer, block, scale)
    decoders = cast("Iterable[DecoderBlock]", model.decoder)
    for layer, writer in zip(decoder.layer, decoders, strict=True):
        _put_block(layer, writer, scale)
        parts = (writer.cross.query, writer.cross.key_value, writer.cross.output)
        _put_attention(layer.attention, parts, writer.cross_residual.norm, scale)
    return spec


def _put_block(layer: Any, block: EncoderBlock | DecoderBlock, scale: np.float32 | None) -> None:
    parts = (block.attention.query_key_value, block.attention.output)
    _put_attention(layer.self_attention, parts, block.attention_residual.norm, scale)
    inner, outer = block.feedforward.inner, block.feedforward.outer
    _put(layer.ffn.linear_0, weight=inner.weight, bias=inner.bias)
    _put(layer.ffn.linear_1, weight=outer.weight, bias=outer.bias)
    norm = block.feedforward_residual.norm
    _put(layer.ffn.layer_norm, gamma=norm.weight, beta=norm.bias)


def _put_attention(
    spec: Any, parts: Sequence[nn.Linear], norm: nn.LayerNorm, scale: np.float32 | None
) -> None:
    for linear, part in zip(spec.linear, parts, strict=True):
        _put(linear, weight=part.weight, bias=part.bias)
    _put(spec.layer_norm, gamma=norm.weight, beta=norm.bias)
    if scale is not None:
        spec.queries_scale = scale


def _put(spec: Any, **tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        setattr(spec, name, _numbers(tensor))


def _positions(model: Transformer) -> NDArray[np.float32]:
    """The table that is added to the embeddings: whatever the kind, one row a position."""
    if model.positions.kind == "none":
        return np.zeros((model.config.max_length, model.config.d_model), np.float32)
    return _numbers(cast(Tensor, model.positions.table))


def _numbers(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().cpu().numpy().copy()
