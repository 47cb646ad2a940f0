"""Dropout whose random numbers cost a byte an element.

Drawing a float per element costs as much as a small matrix product on a CPU; a byte decides as
well, at a resolution of 1/256: a rate p drops round(256 p)/256 of the elements, and what is kept
is scaled by exactly the inverse of what is kept.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Module):
    """Zero elements at rate p while training and scale the rest (Srivastava et al. 2014)."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """[…] -> […]."""
        keep = self._keep(x)
        return x if keep is None else x * keep

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + dropout(x), in one pass."""
        keep = self._keep(x)
        return residual + x if keep is None else torch.addcmul(residual, x, keep)

    def _keep(self, x: Tensor) -> Tensor | None:
        """What to multiply x with: 0 or 1/(1-p); None where nothing is dropped."""
        dropped = round(256 * self.p)
        if not self.training or dropped == 0:
            return None
        if x.device.type != "cpu":
            return F.dropout(torch.ones_like(x), self.p)
        count = x.numel()
        words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), 2**63 - 1)
        random = words.view(torch.uint8)[:count].view(x.shape)
        return (random >= dropped).to(x.dtype).mul_(256 / (256 - dropped))

    def extra_repr(self) -> str:
        return f"p={self.p}"
