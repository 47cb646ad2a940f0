"""The Transformer against its peers: the same weights give the same logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from polyhead.attention.masks import EMPTY, Allowed, Causal, positions_of
from polyhead.attention.state import Encoded
from polyhead.layers.block import DecoderBlock, EncoderBlock
from polyhead.layers.positions import sinusoids
from polyhead.models import transformer

VOCABULARY, WIDTH, HEADS, LAYERS, INNER, LENGTH = 53, 32, 4, 2, 64, 40
PAD, END = VOCABULARY - 1, 0


@torch.no_grad()
def shake(model: nn.Module) -> None:
    """Random weights everywhere, biases and norms too, so that none can be mistaken for another."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        center = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        parameter.copy_(center + 0.15 * noise)


def padded_batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(source, its lengths, decoder inputs that start from pad, their lengths), right-padded."""
    generator = torch.Generator().manual_seed(4)
    lengths, target_lengths = torch.tensor([9, 4, 1]), torch.tensor([3, 7, 5])
    source = torch.randint(2, PAD, (3, 9), generator=generator)
    target = torch.randint(2, PAD, (3, 7), generator=generator)
    source[torch.arange(3), lengths - 1] = END
    source[positions_of(lengths, 9) == EMPTY] = PAD
    target[:, 0] = PAD
    target[positions_of(target_lengths, 7) == EMPTY] = PAD
    return source, lengths, target, target_lengths


def put_linear(linear: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)


@torch.no_grad()
def to_marian(ours: transformer.Transformer, theirs: nn.Module) -> None:
    """Copy our weights into a MarianMTModel of the same sizes."""
    theirs.model.shared.weight.copy_(ours.target_embedding.weight)
    for ours_blocks, theirs_blocks in (
        (ours.encoder, theirs.model.encoder.layers),
        (ours.decoder, theirs.model.decoder.layers),
    ):
        for block, layer in zip(ours_blocks, theirs_blocks, strict=True):
            _copy_self_attention(block.attention, layer.self_attn)
            layer.self_attn_layer_norm.load_state_dict(block.attention_residual.norm.state_dict())
            if isinstance(block, DecoderBlock):
                cross, other = block.cross, layer.encoder_attn
                put_linear(other.q_proj, cross.query.weight, cross.query.bias)
                keys, values = cross.key_value.weight.chunk(2)
                key_bias, value_bias = cross.key_value.bias.chunk(2)
                put_linear(other.k_proj, keys, key_bias)
                put_linear(other.v_proj, values, value_bias)
                put_linear(other.out_proj, cross.output.weight, cross.output.bias)
                layer.encoder_attn_layer_norm.load_state_dict(
                    block.cross_residual.norm.state_dict()
                )
            layer.fc1.load_state_dict(block.feedforward.inner.state_dict())
            layer.fc2.load_state_dict(block.feedforward.outer.state_dict())
            layer.final_layer_norm.load_state_dict(block.feedforward_residual.norm.state_dict())


def _copy_self_attention(ours: nn.Module, theirs: nn.Module) -> None:
    parts = zip(ours.query_key_value.weight.chunk(3), ours.query_key_value.bias.chunk(3))  # noqa: B905
    for projection, (weight, bias) in zip(
        (theirs.q_proj, theirs.k_proj, theirs.v_proj), parts, strict=True
    ):
        put_linear(projection, weight, bias)
    put_linear(theirs.out_proj, ours.output.weight, ours.output.bias)


@pytest.fixture(scope="module")
def marian() -> nn.Module:
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed: no Marian model to compare with"
    )
    config = transformers.MarianConfig(
        vocab_size=VOCABULARY,
        decoder_vocab_size=VOCABULARY,
        d_model=WIDTH,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=INNER,
        decoder_ffn_dim=INNER,
        max_position_embeddings=LENGTH,
        activation_function="relu",
        scale_embedding=True,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=PAD,
        forced_eos_token_id=None,
    )
    model: nn.Module = transformers.MarianMTModel(config).eval()
    return model


@pytest.fixture(scope="module")
def ours() -> transformer.Transformer:
    config = transformer.Config(
        d_model=WIDTH,
        num_layers=LAYERS,
        num_heads=HEADS,
        d_ff=INNER,
        dropout=0.3,
        max_length=LENGTH,
    )
    sizes = {"source_vocab": VOCABULARY, "target_vocab": VOCABULARY, "shared": True}
    model = transformer.build(config, **sizes).eval()
    shake(model)
    return model


@torch.no_grad()
def test_our_weights_in_a_marian_model_give_our_logits(
    ours: transformer.Transformer, marian: nn.Module
) -> None:
    to_marian(ours, marian)
    source, lengths, target, target_lengths = padded_batch()
    found = marian(
        input_ids=source,
        attention_mask=(positions_of(lengths, 9) != EMPTY).long(),
        decoder_input_ids=target,
    ).logits
    positions = positions_of(target_lengths, 7)
    expected = ours.head(ours(source, positions_of(lengths, 9), target, positions))
    real = positions != EMPTY
    assert expected[real].std() > 0.3
    torch.testing.assert_close(found[real], expected[real], atol=1e-4, rtol=1e-4)


def test_every_marian_parameter_was_copied(
    ours: transformer.Transformer, marian: nn.Module
) -> None:
    to_marian(ours, marian)
    trainable = [p for p in marian.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trainable) == sum(p.numel() for p in ours.parameters())
    assert marian.lm_head.weight is marian.model.shared.weight


def test_positions_are_marians(marian: nn.Module) -> None:
    table = marian.model.encoder.embed_positions.weight
    torch.testing.assert_close(sinusoids(LENGTH, WIDTH), table, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_marian_model_translates_greedily_as_ours_steps(
    ours: transformer.Transformer, marian: nn.Module
) -> None:
    to_marian(ours, marian)
    source, lengths, _, _ = padded_batch()
    mask = (positions_of(lengths, 9) != EMPTY).long()
    written = marian.generate(
        input_ids=source, attention_mask=mask, max_new_tokens=12, num_beams=1, do_sample=False
    )
    state = ours.begin(source, positions_of(lengths, 9))
    tokens = torch.full((3, 1), PAD)
    rows = [tokens]
    for _ in range(written.shape[1] - 1):
        logits, state = ours.step(tokens, state)
        tokens = logits[:, -1].index_fill(1, torch.tensor([PAD]), float("-inf")).argmax(-1)[:, None]
        rows.append(tokens)
    for ours_row, theirs_row in zip(torch.cat(rows, dim=1).tolist(), written.tolist(), strict=True):
        end = theirs_row.index(END) + 1 if END in theirs_row else len(theirs_row)
        assert ours_row[:end] == theirs_row[:end]


# --- torch's own layers


@torch.no_grad()
def _put_torch_attention(theirs: nn.MultiheadAttention, parts: list[nn.Linear]) -> None:
    *projections, output = parts
    theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
    theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
    theirs.out_proj.load_state_dict(output.state_dict())


def block_options(norm: str) -> dict[str, object]:
    return {
        "d_model": WIDTH,
        "d_ff": INNER,
        "dropout": 0.0,
        "norm": norm,
        "num_heads": HEADS,
        "scale_scores": True,
        "name": "x",
    }


@pytest.mark.parametrize("norm", ["pre", "post"])
@torch.no_grad()
def test_an_encoder_block_is_torchs_encoder_layer(norm: str) -> None:
    block = EncoderBlock(**block_options(norm)).eval()
    shake(block)
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, INNER, dropout=0.0, batch_first=True, norm_first=norm == "pre"
    ).eval()
    _put_torch_attention(layer.self_attn, [block.attention.query_key_value, block.attention.output])
    layer.linear1.load_state_dict(block.feedforward.inner.state_dict())
    layer.linear2.load_state_dict(block.feedforward.outer.state_dict())
    layer.norm1.load_state_dict(block.attention_residual.norm.state_dict())
    layer.norm2.load_state_dict(block.feedforward_residual.norm.state_dict())
    x = torch.randn(3, 7, WIDTH)
    positions = positions_of(torch.tensor([7, 4, 1]), 7)
    real = positions != EMPTY
    expected = layer(x, src_key_padding_mask=~real)
    found = block(x, Allowed.keys(positions))
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm", ["pre", "post"])
@torch.no_grad()
def test_a_decoder_block_is_torchs_decoder_layer(norm: str) -> None:
    block = DecoderBlock(**block_options(norm)).eval()
    shake(block)
    layer = nn.TransformerDecoderLayer(
        WIDTH, HEADS, INNER, dropout=0.0, batch_first=True, norm_first=norm == "pre"
    ).eval()
    _put_torch_attention(layer.self_attn, [block.attention.query_key_value, block.attention.output])
    _put_torch_attention(
        layer.multihead_attn, [block.cross.query, block.cross.key_value, block.cross.output]
    )
    layer.linear1.load_state_dict(block.feedforward.inner.state_dict())
    layer.linear2.load_state_dict(block.feedforward.outer.state_dict())
    layer.norm1.load_state_dict(block.attention_residual.norm.state_dict())
    layer.norm2.load_state_dict(block.cross_residual.norm.state_dict())
    layer.norm3.load_state_dict(block.feedforward_residual.norm.state_dict())
    x, memory = torch.randn(3, 5, WIDTH), torch.randn(3, 7, WIDTH)
    positions = torch.arange(5).expand(3, 5)
    memory_positions = positions_of(torch.tensor([7, 4, 1]), 7)
    expected = layer(
        x,
        memory,
        tgt_mask=~torch.ones(5, 5, dtype=torch.bool).tril(),
        memory_key_padding_mask=memory_positions == EMPTY,
    )
    found = block(
        x,
        Causal().prepare(positions, positions),
        Encoded(memory, Allowed.keys(memory_positions)),
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
