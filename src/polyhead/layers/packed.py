"""Linear layers laid out once for inference on a CPU: int8, bfloat16 or fp32 weights.

Everything here is plain torch: no compiler is needed, nothing is compiled. The layers give no
gradient, and they keep their weights out of `state_dict`: pack a model after loading it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.attention.evaluations import Attending
from polyhead.attention.source import Centre
from polyhead.layers.embeddings import OutputHead
from polyhead.layers.feedforward import RectifiedLinear

Precision = Literal["fp32", "bf16", "int8"]

# Each row of bytes that torch's row-wise quantiser returns ends in its fp32 scale and least value.
_TRAILER = 8
# int8: up to so many rows times weights, the product that needs no primitive of oneDNN wins.
_SMALL_ROWS, _SMALL_WEIGHTS = 32, 1 << 20
# fp32: from so many multiplications on, a weight laid out in blocks wins over MKL's plain product.
_MANY_PRODUCTS = 1 << 22


class Int8Linear(nn.Module):
    """y = x Wᵀ + b with int8 weights and activations, every row quantised by itself.

        x[m] ≈ scale[m] q[m] + low[m]                q in 0..255, low[m] the least value of the row
        W[n] ≈ scale_w[n] w[n]                       w in -127..127, scale_w[n] = max |W[n]| / 127
        y[m,n] = scale[m] scale_w[n] (q[m] · w[n]) + low[m] scale_w[n] Σ_k w[n,k] + b[n]

    The integer sum is exact, and a row's scale and offset come from that row alone: what a row
    gives does not depend on the rows beside it. LLM.int8() (Dettmers et al. 2022, section 3.1)
    takes one scale per row and per output channel in the same way; the offset per row is the
    asymmetric form of Jacob et al. 2018, section 2.1, and gives ReLU's outputs all 8 bits.

    Input [..,K] in fp32 (anything else is converted), output [..,N] in fp32. For one row, or few
    rows of a small weight, `torch._int_mm` does the product; else oneDNN with blocked weights.
    Both layouts are kept (two bytes a weight). Rows that span less than 1e-6 lose precision.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False):
        """Quantise weight [N,K] (bias [N]); `relu` applies max(0, y) to the output."""
        super().__init__()
        weight = weight.detach().to("cpu", torch.float32)
        self.out_features, self.in_features = weight.shape
        self.relu = relu
        largest = weight.abs().amax(1)
        scale = torch.where(largest > 0, largest / 127, torch.ones_like(largest))
        weight_int8 = (weight / scale[:, None]).round().to(torch.int8)
        self._column = weight_int8.sum(1) * scale
        self._scale = scale / 255
        self._bias = torch.zeros(self.out_features)
        if bias is not None:
            self._bias.copy_(bias.detach())
        self._small, self._small_rows = weight.numel() <= _SMALL_WEIGHTS, _SMALL_ROWS
        padded = F.pad(weight_int8, (0, _TRAILER))  # zeros meet the trailer: it stays uncut
        self._gemm, self._primitive = _int8_products()
        self._zeros = torch.zeros(self.out_features, dtype=torch.int64)
        # Rows at multiples of 64 bytes: one row's product reads them 1.3 times faster.
        room = F.pad(padded, (0, -padded.shape[1] % 64))
        self._weight = room[:, : padded.shape[1]].t()
        self._blocked = self._weight
        if self._primitive:
            self._blocked = torch.ops.onednn.qlinear_prepack(padded, None)
        self._emulated = torch.empty(0)
        if not (self._gemm or self._primitive):
            self._emulated = padded.float()

    def forward(self, x: Tensor) -> Tensor:
        """x [..,K] -> [..,N] fp32. Written so that `torch.jit.script` takes it, too."""
        rows = (x if x.dim() == 2 else x.reshape(-1, self.in_features)).float()
        count = rows.size(0)
        # Each row's bytes, followed by its scale and least value, which no product sees: reading
        # those back costs more small operations than finding them again.
        packed = torch.ops.quantized.embedding_bag_byte_prepack(rows)
        low = rows.amin(1, keepdim=True)
        span = rows.amax(1, keepdim=True) - low  # 255 times the row's scale
        few = count == 1 or (self._small and count <= self._small_rows)
        if count == 0:
            y = rows.new_zeros(0, self.out_features)
        elif self._gemm and (few or not self._primitive):
            y = torch._int_mm(packed, self._weight) * self._scale
        else:
            y = self._scaled_product(packed)
        if count:
            torch.addcmul(self._bias, y, span, out=y)  # a second large buffer would cost more
            y.addcmul_(low, self._column)
        if self.relu:
            y.relu_()
        if x.dim() == 2:
            return y
        return y.view(x.shape[:-1] + (self.out_features,))  # noqa: RUF005 - no * in TorchScript

    def _scaled_product(self, packed: Tensor) -> Tensor:
        """Bytes [M,K+8] -> scale_w (q · w) / 255 [M,N] fp32."""
        if self._primitive:
            return _onednn_product(packed, self._blocked, self._scale, self._zeros)
        return F.linear(packed.float(), self._emulated) * self._scale


class PackedLinear(nn.Module):
    """y = x Wᵀ + b, the weight stored in the blocks that oneDNN's product reads, in bf16 or fp32.

    Input [..,K], output [..,N] of the input's dtype; the product is done in `dtype`. A single fp32
    row, or little work in fp32, goes through the plain weight, which is then faster.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        dtype: torch.dtype = torch.bfloat16,
        relu: bool = False,
    ):
        """Lay weight [N,K] (bias [N]) out in `dtype`; `relu` applies max(0, y) to the output."""
        super().__init__()
        if dtype not in (torch.bfloat16, torch.float32):
            raise ValueError(f"PackedLinear: dtype {dtype}; it packs torch.bfloat16 or float32")
        self.out_features, self.in_features = weight.shape
        self.dtype, self.relu = dtype, relu
        self._weight = weight.detach().to("cpu", dtype).contiguous()
        self._bias = None if bias is None else bias.detach().to("cpu", dtype, copy=True)
        self._has_blocks = _has_blocked_linear()
        if self._has_blocks:
            self._blocks = torch.ops.mkldnn._reorder_linear_weight(self._weight, None)

    def forward(self, x: Tensor) -> Tensor:
        """x [..,K] -> [..,N] of x's dtype."""
        inputs = x.to(self.dtype)
        if self._has_blocks and not self._prefers_plain(x.numel()):
            after = "relu" if self.relu else "none"
            y = torch.ops.mkldnn._linear_pointwise.default(
                inputs, self._blocks, self._bias, after, [], ""
            )
        else:
            y = F.linear(inputs, self._weight, self._bias)
            if self.relu:
                y.relu_()
        return cast(Tensor, y).to(x.dtype)

    def _prefers_plain(self, inputs: int) -> bool:
        few = inputs <= self.in_features or inputs * self.out_features < _MANY_PRODUCTS
        return inputs == 0 or (self.dtype is torch.float32 and few)


def pack(module: nn.Module, precision: Precision) -> nn.Module:
    """Replace every linear layer in `module`, in place, by a packed one; return the module.

    `nn.Linear` and all its subclasses are replaced, `RectifiedLinear` with its max(0, y); only a
    `Centre`, which reads its layers' weights itself, stays. Everything else (layer norms,
    embeddings) keeps its dtype for int8 and fp32, and is converted to bf16 with "bf16"; with "int8"
    what attends does so in fp64, whose fp32 result is the same to the last bit whatever is padded
    or stands beside it: int8 layers may round inputs that differ in it to different numbers. A lone
    linear layer is returned packed. Raises ValueError for an unknown precision.
    """
    if precision not in ("fp32", "bf16", "int8"):
        raise ValueError(f"precision {precision!r}; choose fp32, bf16 or int8")
    if isinstance(module, nn.Linear):
        return _packed(module, precision)
    packed: dict[nn.Module, nn.Module] = {}  # a layer used in two places is packed once
    staying: tuple[str, ...] = ()
    for name, part in list(module.named_modules(remove_duplicate=False)):
        if name.startswith(staying):
            continue
        if isinstance(part, Centre):
            staying += (f"{name}.",)
        elif isinstance(part, Attending) and precision == "int8":
            part.products = torch.float64
        elif isinstance(part, OutputHead):
            part.packed = _packed(part, precision)
        elif isinstance(part, nn.Linear):
            if part not in packed:
                packed[part] = _packed(part, precision)
            module.set_submodule(name, packed[part])
    return module.bfloat16() if precision == "bf16" else module


def _packed(layer: nn.Linear | OutputHead, precision: Precision) -> nn.Module:
    relu = isinstance(layer, RectifiedLinear)
    if precision == "int8":
        return Int8Linear(layer.weight, layer.bias, relu=relu)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return PackedLinear(layer.weight, layer.bias, dtype=dtype, relu=relu)


def _onednn_product(rows: Tensor, blocked: Tensor, scale: Tensor, zeros: Tensor) -> Tensor:
    """rows [M,K] uint8, weight [N,K] int8 in blocks -> scale (rows · weight) [M,N] fp32."""
    # Rows and weight without offset, no bias; an output that is not quantised, nothing after it.
    return torch.ops.onednn.qlinear_pointwise(
        rows, 1.0, 0, blocked, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )


@cache
def _int8_products() -> tuple[bool, bool]:
    """Which exact products of uint8 and int8 torch has here: `torch._int_mm`, oneDNN's linear.

    Tried with the largest values: a CPU without VNNI adds pairs of products in 16 bits.
    """
    rows = torch.full((2, 64), 255, dtype=torch.uint8)
    weight = torch.full((16, 64), 127, dtype=torch.int8)
    one, zeros = torch.ones(16), torch.zeros(16, dtype=torch.int64)
    products: dict[str, Callable[[], Tensor]] = {
        "torch._int_mm": lambda: torch._int_mm(rows, weight.t()),
        "onednn.qlinear_pointwise": lambda: _onednn_product(
            rows, torch.ops.onednn.qlinear_prepack(weight, None), one, zeros
        ),
    }
    missing = {}
    for name, product in products.items():
        try:
            if not (product() == 255 * 127 * 64).all():
                missing[name] = "overflows on this CPU"
        except (RuntimeError, AttributeError) as error:
            missing[name] = str(error).splitlines()[0]
    if missing:
        instead = "a slower one is used" if len(missing) == 1 else "emulated in fp32, slowly"
        reason = "; ".join(f"{name}: {why}" for name, why in missing.items())
        warnings.warn(f"fast int8 products are missing, {instead} ({reason})", stacklevel=2)
    return "torch._int_mm" not in missing, "onednn.qlinear_pointwise" not in missing


@cache
def _has_blocked_linear() -> bool:
    """Whether this torch has oneDNN's linear with a weight in blocks."""
    try:
        blocks = torch.ops.mkldnn._reorder_linear_weight(torch.ones(16, 16), None)
        torch.ops.mkldnn._linear_pointwise.default(torch.ones(2, 16), blocks, None, "none", [], "")
    except (RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        warnings.warn(f"linear layers stay unpacked ({reason})", stacklevel=2)
        return False
    return True
