"""Cross-entropy over a large vocabulary without ever holding all its logits.

The gradient is computed chunk by chunk in the forward pass (it is linear in what comes from
above), so that a batch's logits exist for one chunk of tokens at a time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 2048  # tokens


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        needs = any(ctx.needs_input_grad[:2])
        nll = hidden.new_zeros((), dtype=torch.float32)
        uniform = hidden.new_zeros((), dtype=torch.float32)
        grad_hidden = torch.empty_like(hidden) if needs else None
        grad_weight = torch.zeros_like(weight) if needs else None
        vocabulary = weight.shape[0]
        for start in range(0, len(hidden), CHUNK):
            chunk = slice(start, start + CHUNK)
            x, y = hidden[chunk], labels[chunk, None]
            logits = F.linear(x, weight).float()
            normaliser = logits.logsumexp(dim=-1, keepdim=True)
            nll += (normaliser - logits.gather(1, y)).sum()
            if smoothing:
                uniform += (normaliser - logits.mean(dim=-1, keepdim=True)).sum()
            if grad_hidden is None or grad_weight is None:
                continue
            # d loss / d logits = softmax - (1 - smoothing) one-hot - smoothing / V
            delta = logits.sub_(normaliser).exp_()
            if smoothing:
                delta.sub_(smoothing / vocabulary)
            delta.scatter_add_(1, y, torch.full_like(y, smoothing - 1, dtype=delta.dtype))
            delta = delta.to(hidden.dtype)
            torch.mm(delta, weight, out=grad_hidden[chunk])
            grad_weight.addmm_(delta.t(), x)
        ctx.save_for_backward(grad_hidden, grad_weight)
        loss = (1 - smoothing) * nll + smoothing * uniform
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad_loss, grad_weight * grad_loss.to(grad_weight.dtype), None, None


def cross_entropy(
    hidden: Tensor, weight: Tensor, labels: Tensor, *, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """(sum of the smoothed loss, sum of the plain negative log-likelihood), in nats.

    hidden [N,E], weight [V,E], labels [N]. With smoothing e the target distribution is
    (1 - e) one-hot + e / V (Szegedy et al. 2016, section 7). Only the first value has a gradient.
    """
    loss, nll = _ChunkedCrossEntropy.apply(hidden, weight, labels, smoothing)
    return loss, nll


@torch.no_grad()
def token_log_probabilities(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """log p of each label: hidden [N,E], weight [V,E], labels [N] -> [N] float32."""
    parts = []
    for start in range(0, len(hidden), CHUNK):
        chunk = slice(start, start + CHUNK)
        logits = F.linear(hidden[chunk], weight).float()
        parts.append(logits.gather(1, labels[chunk, None])[:, 0] - logits.logsumexp(dim=-1))
    return torch.cat(parts) if parts else hidden.new_zeros(0)
