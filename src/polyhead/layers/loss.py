"""Cross-entropy over a large vocabulary without ever holding all its logits.

The gradient is computed chunk by chunk in the forward pass (it is linear in what comes from
above), so that a batch's logits exist for one chunk of tokens at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 2**23  # logits at a time: 32 MiB of them, which caches may hold between the products
JUDGED = 1024  # tokens whose logits are there at a time where nothing is learned
TINY = 1e-37  # below it probabilities underflow, and their logarithm is worth nothing


@dataclass(frozen=True)
class Taught:
    """What a model gives in training when it has a loss of its own beside the cross-entropy.

    hidden [B,T,E] as usual; `own` makes that loss (a sum over tokens) of the log-probabilities
    [B,T] that the model gave the real labels (0 in padding; without gradient).
    """

    hidden: Tensor
    own: Callable[[Tensor], Tensor]


class _ChunkedCrossEntropy(torch.autograd.Function):
    """With p = softmax(x W'), target distribution t = (1 - e) one-hot + e / V, and d = p - t:

        loss = sum_i (logsumexp_i - t . logits_i),   d loss / dx = d W,   d loss / dW = d' x

    The uniform part of t never meets the V columns: it is a product with the mean of W's rows.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        needs = any(ctx.needs_input_grad[:2])
        mean_weight = weight.float().mean(dim=0) if smoothing else None
        nll = uniform = hidden.new_zeros((), dtype=torch.float32)
        grad_hidden = torch.empty_like(hidden) if needs else None
        grad_weight = torch.zeros_like(weight) if needs else None
        size = max(1, CHUNK // len(weight))
        for start in range(0, len(hidden), size):
            chunk = slice(start, start + size)
            x, y = hidden[chunk], labels[chunk, None]
            logits = F.linear(x, weight).float()
            picked = logits.gather(1, y)
            p = torch._softmax(logits, -1, False, out=logits)  # in place: half the memory
            likelihood = p.gather(1, y)
            surprise = -likelihood.log()
            if bool((likelihood < TINY).any()):  # rare, as it costs the logits once more
                again = F.linear(x, weight).float()
                exact = again.logsumexp(dim=-1, keepdim=True) - picked
                surprise = torch.where(likelihood < TINY, exact, surprise)
            nll = nll + surprise.sum()
            if mean_weight is not None:
                uniform = uniform + (surprise + picked).sum() - (x.float() @ mean_weight).sum()
            if grad_hidden is None or grad_weight is None:
                continue
            p.scatter_add_(1, y, torch.full_like(picked, smoothing - 1))
            p = p.to(hidden.dtype)
            torch.mm(p, weight, out=grad_hidden[chunk])
            grad_weight.addmm_(p.t(), x)
        if grad_hidden is not None and grad_weight is not None and mean_weight is not None:
            grad_hidden -= (smoothing * mean_weight).to(hidden.dtype)
            grad_weight -= hidden.sum(dim=0) * (smoothing / len(weight))
        ctx.save_for_backward(grad_hidden, grad_weight)
        loss = (1 - smoothing) * nll + smoothing * uniform
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad_loss, grad_weight * grad_loss.to(grad_weight.dtype), None, None


def cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    bias: Tensor | None = None,
    smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """(sum of the smoothed loss, sum of the plain negative log-likelihood), in nats.

    hidden [N,E], weight [V,E], bias [V] or none, labels [N]. With smoothing e the target
    distribution is (1 - e) one-hot + e / V (Szegedy et al. 2016, section 7). Only the first value
    has a gradient.
    """
    if bias is not None:  # one more column, for an input that is always 1
        hidden = F.pad(hidden, (0, 1), value=1.0)
        weight = torch.cat([weight, bias[:, None]], dim=1)
    loss, nll = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, weight, labels, smoothing
    )
    return loss, nll


@torch.no_grad()
def token_log_probabilities(
    hidden: Tensor, head: Callable[[Tensor], Tensor], labels: Tensor
) -> Tensor:
    """log p of each label: hidden [N,E], head [n,E] -> logits [n,V], labels [N] -> [N] float32."""
    parts = []
    for start in range(0, len(hidden), JUDGED):
        chunk = slice(start, start + JUDGED)
        logits = head(hidden[chunk]).float()
        parts.append(logits.gather(1, labels[chunk, None])[:, 0] - logits.logsumexp(dim=-1))
    return torch.cat(parts) if parts else hidden.new_zeros(0)


def sequence_loss(
    output: Tensor | Taught,
    weight: Tensor,
    labels: Tensor,
    real: Tensor,
    *,
    bias: Tensor | None = None,
    smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """`cross_entropy` of a model's output over the real labels, and the model's own loss, if any.

    output: hidden states [B,T,E], or what `Taught` says; weight [V,E], bias [V] or none, labels
    [B,T], real (bool [B,T]). The negative log-likelihood is the labels' alone.
    """
    hidden = output.hidden if isinstance(output, Taught) else output
    states, wanted = hidden[real], labels[real]
    loss, nll = cross_entropy(states, weight, wanted, bias=bias, smoothing=smoothing)
    if isinstance(output, Taught):
        log_p = torch.zeros(real.shape, device=real.device)
        head = partial(F.linear, weight=weight, bias=bias)
        log_p[real] = token_log_probabilities(states, head, wanted)
        loss = loss + output.own(log_p)
    return loss, nll
