"""How much of a GPU's arithmetic training uses: the model FLOPs utilisation of GPT and BERT.

A token costs 6 operations for each weight it is multiplied with, 2 going forward and 4 going back,
and 12 L d T for the attention of L layers of width d among T tokens (Chowdhery et al. 2022, PaLM,
appendix B). What is computed twice (`training.recompute`) counts once, and a causal mask spares
nothing. BERT's output is computed of the tokens that were masked alone, and so it counts for them.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from polyhead.models.bert import BERT
from polyhead.models.gpt import GPT

TERA = 1e12
PEAKS = {  # TFLOP/s of dense products in 16 bits, from the data sheets; the first that fits
    **{"B200": 2250.0, "GH200": 989.0, "H200 NVL": 835.0, "H200": 989.0},
    **{"H100 NVL": 835.0, "H100 PCIe": 756.0, "H100": 989.0},
    **{"A100": 312.0, "A40": 149.7, "A30": 165.0, "A10": 125.0, "L40S": 362.0, "L4": 121.0},
    **{"V100 PCIE": 112.0, "V100": 125.0, "T4": 65.0},
}


def peak_of(name: str) -> float | None:
    """FLOP/s of a device by its name, `NVIDIA H100 80GB HBM3`; None: not known here."""
    words = set(re.findall(r"\w+", name))
    if "MIG" in words:  # a part of one
        return None
    fits = (peak for known, peak in PEAKS.items() if words >= set(known.split()))
    return next((peak * TERA for peak in fits), None)


@dataclass(frozen=True)
class Cost:
    """FLOPs of learning from a token: always; for each token of its row; where it is predicted."""

    token: int
    neighbour: int
    predicted: int

    @classmethod
    def of(cls, model: GPT | BERT) -> Cost:
        """A model's; weights that do not learn have no gradient of their own."""
        config = model.config
        head = None if isinstance(model, GPT) and model.purpose != "language" else model.head
        return cls(
            token=_of_weights(model.blocks),
            neighbour=12 * config.num_layers * config.d_model,
            predicted=0 if head is None else _of_weights(head),
        )

    def __call__(self, batch: Any) -> int:
        """FLOPs of a batch; padding is left out."""
        rows, length = batch.inputs.shape
        padded = batch.positions is not None
        tokens = int((batch.positions >= 0).sum()) if padded else rows * length
        return tokens * (self.token + self.neighbour * length) + self.predicted * batch.tokens


def _of_weights(module: nn.Module) -> int:
    return sum((6 if p.requires_grad else 4) * p.numel() for p in module.parameters())


class Meter:
    """The utilisation of this process's GPU; elsewhere, and of other models, it finds nothing."""

    def __init__(self, model: nn.Module, device: str):
        counts = device == "cuda" and isinstance(model, GPT | BERT)
        self.cost = Cost.of(model) if counts else None  # type: ignore[arg-type]
        self.device = torch.cuda.get_device_name() if counts else device
        self.start()

    def start(self) -> None:
        """Count from now on."""
        self.flops, self.since = 0, time.perf_counter()

    def add(self, batch: Any) -> None:
        """Count a batch that was learned from."""
        if self.cost is not None:
            self.flops += self.cost(batch)

    def read(self) -> dict[str, float]:
        """What goes into the journal about the time since the start."""
        if not self.flops:
            return {}
        rate = self.flops / (time.perf_counter() - self.since)
        peak = peak_of(self.device)
        known = {} if peak is None else {"model_flops_utilisation": round(rate / peak, 4)}
        return {"model_flops_per_second": round(rate), **known}

    def describe(self, found: dict[str, float]) -> str:
        """The same for a person."""
        rate = f"{found['model_flops_per_second'] / TERA:.3g} TFLOP/s of the model"
        if (peak := peak_of(self.device)) is None:
            return (
                f"{rate}; utilisation unknown: this program does not know the peak of {self.device}"
            )
        share = found["model_flops_utilisation"]
        return (
            f"{rate}: model FLOPs utilisation {share:.1%} of the {peak / TERA:.4g} TFLOP/s that "
            f"{self.device} has in 16 bits"
        )
