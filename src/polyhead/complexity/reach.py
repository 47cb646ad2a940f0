"""What reaches a layer's last output: how far back its gradient goes, and how much is left."""

from __future__ import annotations

import torch

from polyhead.complexity.kinds import Kind, Sizes

SAMPLES = 16  # sequences, each with a direction of its own


def rounds_needed(kind: Kind, sizes: Sizes, length: int) -> int:
    """The rounds (cells, or layers) after which the first input has a say in the last output.

    0: not after `length` rounds either.
    """
    torch.manual_seed(length)
    layer = kind.build(sizes, length).double()
    x = torch.randn(1, length, sizes.d_model, dtype=torch.float64).requires_grad_()
    for count, y in zip(range(1, length + 1), layer.rounds(x), strict=False):
        (grad,) = torch.autograd.grad(y[0, -1].sum(), x, retain_graph=True)
        if bool((grad[0, 0] != 0).any()):
            return count
    return 0


def gradient_norms(kind: Kind, sizes: Sizes, length: int) -> dict[int, float]:
    """How much the last output of a fresh layer hears of the input that many positions before it:

        |d output_t / d input_(t-distance)| / sqrt(E)     (Frobenius; 1 for the identity)

    by distance, 0, 1, 2, 4, … and the farthest. For v ~ N(0, 1), v J has J's squared norm on
    average. In fp64: a recurrent layer's soon are below what fp32 can hold.
    """
    torch.manual_seed(length)
    layer = kind.build(sizes, length).double()
    x = torch.randn(SAMPLES, length, sizes.d_model, dtype=torch.float64).requires_grad_()
    last = layer(x)[:, -1]
    (grad,) = torch.autograd.grad(last, x, torch.randn_like(last))
    norms = grad.square().sum(dim=-1).div(sizes.d_model).mean(dim=0).sqrt().flip(0)
    distances = [0, *(2**i for i in range(length.bit_length()) if 2**i < length - 1), length - 1]
    return {distance: float(norms[distance]) for distance in sorted(set(distances))}
