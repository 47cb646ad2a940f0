"""LoRA: fine-tuning by small additions to the blocks' matrices (Hu et al. 2021, section 4.1).

    W = W_0 + (alpha / rank) B A,   A [rank,in] normal, B [out,rank] zero at first

W_0 does not learn, nor does anything else that the run before has whole; what is new to the model
(a head, an embedding with rows of new tokens) learns as ever. The optimiser keeps moments of
little. Weights that a run keeps for use are merged: all other commands see a plain model.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from polyhead.config import LoraConfig
from polyhead.errors import TrainingError
from polyhead.layers.block import DecoderBlock, EncoderBlock
from polyhead.training.origin import Carried

_WHERE = ".parametrizations.weight"


class LowRank(nn.Module):
    """weight -> weight + scale B A."""

    def __init__(self, weight: Tensor, config: LoraConfig):
        super().__init__()
        outward, inward = weight.shape
        self.scale = config.scale
        self.a = nn.Parameter(torch.randn(config.rank, inward) * inward**-0.5)
        self.b = nn.Parameter(torch.zeros(outward, config.rank))

    def forward(self, weight: Tensor) -> Tensor:
        return torch.addmm(weight, self.b, self.a, alpha=self.scale)


def begin(model: nn.Module, config: LoraConfig, learning: set[str]) -> None:
    """Freeze a model but for the weights named, and give its blocks' matrices their additions.

    Raises TrainingError for a model without blocks.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in learning)
    linears = [linear for block in _blocks(model) for linear in _linears(block)]
    if not linears:
        raise TrainingError(
            f"training.lora: a {type(model).__name__} has no Transformer blocks, whose matrices "
            "LoRA adds to; leave it out"
        )
    for linear in linears:
        parametrize.register_parametrization(linear, "weight", LowRank(linear.weight, config))


def learning(carried: Carried) -> set[str]:
    """The weights that a run before does not have whole: they learn as ever."""
    return {*carried.fresh, *carried.partly}


def merged(weights: dict[str, Tensor], config: LoraConfig | None) -> dict[str, Tensor]:
    """The weights of the plain model."""
    if config is None:
        return weights
    found = {}
    for name, weight in weights.items():
        place, mark, part = name.partition(_WHERE)
        if not mark:
            found[name] = weight
        elif part == ".original":
            b, a = (weights[f"{place}{_WHERE}.0.{side}"] for side in "ba")
            found[f"{place}.weight"] = torch.addmm(weight, b, a, alpha=config.scale)
    return found


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    return (m for m in model.modules() if isinstance(m, EncoderBlock | DecoderBlock))


def _linears(block: nn.Module) -> Iterator[nn.Linear]:
    return (m for m in block.modules() if isinstance(m, nn.Linear))
