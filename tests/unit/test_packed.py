"""Packed linear layers: int8 products are exact, rows stand alone, packing finds every layer."""

from __future__ import annotations

import copy
from collections import Counter

import pytest

from polyhead import machine

machine.prepare()  # before torch computes: a broken AMX would end the process

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from polyhead.attention.source import Centre  # noqa: E402
from polyhead.layers import packed  # noqa: E402
from polyhead.layers.packed import Int8Linear, PackedLinear, pack  # noqa: E402

# (K, N): a weight below and one above the size where the product changes, and an odd width
SHAPES = [(64, 96), (512, 2048), (30, 7)]
NO_FORMS, GEMM_ONLY, ONEDNN_ONLY = (False, False), (True, False), (False, True)


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def weight_and_bias(k: int, n: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n, k) / k**0.5, torch.randn(n)


def exact(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The definition: quantise in fp32 as documented, then whole numbers and fp64."""
    scale_w = weight.abs().amax(1) / 127
    w = (weight / scale_w[:, None]).round().double()
    low = x.amin(1, keepdim=True)
    span = x.amax(1, keepdim=True) - low
    q = ((x - low) * (255 / (span + 1e-8))).round().double()
    rows = (span / 255).double() * (q @ w.t()) + low.double() * w.sum(1)
    return rows * scale_w.double() + bias.double()


def counted(module):
    kinds = (Int8Linear, PackedLinear)
    return dict(Counter(type(m).__name__ for m in module.modules() if isinstance(m, kinds)))


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("rows", [1, 4, 40])
@pytest.mark.parametrize("shape", SHAPES)
def test_int8_equals_whole_number_arithmetic(shape, rows):
    weight, bias = weight_and_bias(*shape)
    x = torch.randn(rows, shape[0])
    found = Int8Linear(weight, bias)(x)
    assert found.dtype == torch.float32
    assert relative_error(found, exact(x, weight, bias)) < 1e-5


@pytest.mark.parametrize("forms", [NO_FORMS, GEMM_ONLY, ONEDNN_ONLY])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_form_of_the_product_means_the_same(shape, forms, monkeypatch):
    weight, bias = weight_and_bias(*shape)
    x = torch.randn(20, shape[0])
    monkeypatch.setattr(packed, "_int8_products", lambda: forms)
    layer = Int8Linear(weight, bias)
    for rows in (x, x[:4], x[:1]):
        assert relative_error(layer(rows), exact(rows, weight, bias)) < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_an_int8_row_does_not_depend_on_its_batch(shape):
    layer = Int8Linear(*weight_and_bias(*shape))
    x = torch.randn(64, shape[0]) * torch.logspace(-2, 2, 64)[:, None]
    together = layer(x)
    for size in (1, 4, 16, 33):
        apart = torch.cat([layer(part) for part in x.split(size)])
        assert torch.equal(apart, together)


def test_int8_is_close_to_fp32():
    weight, bias = weight_and_bias(512, 512)
    x = torch.randn(8, 512)
    expected = F.linear(x, weight, bias)
    found = Int8Linear(weight, bias)(x)
    assert (found - expected).norm() / expected.norm() < 0.01


@pytest.mark.parametrize("rows", [1, 3, 20])
def test_a_row_of_zeros_gives_the_bias(rows):
    weight, bias = weight_and_bias(64, 96)
    assert torch.equal(Int8Linear(weight, bias)(torch.zeros(rows, 64))[0], bias)
    assert not Int8Linear(weight)(torch.zeros(rows, 64)).any()


@pytest.mark.parametrize("size", [1e30, 1e-4])
def test_a_huge_or_small_row_spoils_no_other(size):
    weight, bias = weight_and_bias(64, 96)
    x = torch.randn(3, 64)
    alone = Int8Linear(weight, bias)(x)
    x[1] *= size
    found = Int8Linear(weight, bias)(x)
    assert torch.equal(found[[0, 2]], alone[[0, 2]])
    assert relative_error(found[1:2], exact(x[1:2], weight, bias)) < 1e-5


def test_an_output_channel_of_zero_weights_gives_its_bias():
    weight, bias = weight_and_bias(64, 96)
    weight[5] = 0
    assert Int8Linear(weight, bias)(torch.randn(2, 64))[:, 5].eq(bias[5]).all()


@pytest.mark.parametrize("rows", [0, 1, 20])
@pytest.mark.parametrize("kind", ["int8", "bf16", "fp32"])
def test_relu_shapes_and_no_rows(kind, rows):
    weight, bias = weight_and_bias(64, 96)
    x = torch.randn(rows, 5, 64)
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32

    def build(relu: bool) -> nn.Module:
        if kind == "int8":
            return Int8Linear(weight, bias, relu=relu)
        return PackedLinear(weight, bias, dtype=dtype, relu=relu)

    plain, rectified = build(False)(x), build(True)(x)
    assert plain.shape == rectified.shape == (rows, 5, 96)
    torch.testing.assert_close(rectified, plain.relu())
    transposed = x.transpose(0, 1)
    torch.testing.assert_close(build(False)(transposed), plain.transpose(0, 1))


@pytest.mark.parametrize("rows", [1, 4, 70])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_packed_weights_give_the_plain_product(dtype, rows):
    weight, bias = weight_and_bias(256, 1024)
    x = torch.randn(rows, 256)
    expected = F.linear(x, weight, bias)
    found = PackedLinear(weight, bias, dtype=dtype)(x)
    assert found.dtype == torch.float32
    tolerance = 0.03 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    assert PackedLinear(weight)(x.bfloat16()).dtype == torch.bfloat16


def test_packing_another_dtype_says_which_there_are():
    with pytest.raises(ValueError, match=r"float16.*bfloat16 or float32"):
        PackedLinear(torch.ones(2, 2), dtype=torch.float16)


class OwnLinear(nn.Linear):
    pass


def model() -> nn.Module:
    shared = nn.Linear(16, 16)
    return nn.ModuleDict(
        {
            "embed": nn.Embedding(10, 16),
            "norm": nn.LayerNorm(16),
            "own": OwnLinear(16, 16, bias=False),
            "block": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16)),
            "one": shared,
            "two": shared,
            "centre": Centre(16),
        }
    )


@pytest.mark.parametrize(
    ("precision", "kind"),
    [("int8", "Int8Linear"), ("bf16", "PackedLinear"), ("fp32", "PackedLinear")],
)
def test_pack_replaces_every_linear_layer_and_subclass(precision, kind):
    plain = model().eval()
    small = pack(copy.deepcopy(plain), precision)
    assert counted(small) == {kind: 4}
    assert small["one"] is small["two"]
    assert isinstance(small["centre"].inner, nn.Linear)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    assert small["norm"].weight.dtype == small["embed"].weight.dtype == dtype
    x = torch.randn(3, 16)
    for name in ("own", "block", "one"):
        torch.testing.assert_close(
            small[name](x.to(dtype)).float(), plain[name](x), rtol=0.05, atol=0.05
        )


def test_pack_returns_a_lone_linear_layer_packed():
    assert isinstance(pack(OwnLinear(4, 4), "int8"), Int8Linear)


def test_pack_names_the_precisions_there_are():
    with pytest.raises(ValueError, match="'fp16'; choose fp32, bf16 or int8"):
        pack(model(), "fp16")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (["gemm"], r"missing, a slower one is used \(torch._int_mm: no such product here\)"),
        (["gemm", "onednn"], r"missing, emulated in fp32, slowly \(torch._int_mm: .*; onednn"),
    ],
)
def test_missing_products_are_said_with_the_reason(broken, said, monkeypatch):
    def missing(*_: object) -> Tensor:
        raise RuntimeError("no such product here\nlong story")

    for name, (owner, attribute) in {
        "gemm": (torch, "_int_mm"),
        "onednn": (packed, "_onednn_product"),
    }.items():
        if name in broken:
            monkeypatch.setattr(owner, attribute, missing)
    packed._int8_products.cache_clear()
    try:
        with pytest.warns(UserWarning, match=said):
            Int8Linear(torch.ones(4, 4))
    finally:
        packed._int8_products.cache_clear()
