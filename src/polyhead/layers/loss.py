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
    Of two looks at the same tokens, `_disagreement` is added.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, smoothing: float, r_drop: float
    ) -> tuple[Tensor, Tensor]:
        looks, _, width = hidden.shape
        needs = any(ctx.needs_input_grad[:2])
        mean_weight = weight.float().mean(dim=0) if smoothing else weight.new_zeros(width)
        nll = uniform = apart = hidden.new_zeros((), dtype=torch.float32)
        grad_hidden = torch.empty_like(hidden) if needs else None
        grad_weight = torch.zeros_like(weight) if needs else None
        size = max(1, CHUNK // (looks * len(weight)))
        for start in range(0, len(labels), size):
            chunk = slice(start, start + size)
            x, y = hidden[:, chunk].reshape(-1, width), labels[chunk].repeat(looks)[:, None]
            logits = F.linear(x, weight).float()
            picked = logits.gather(1, y)
            gap = logits[: len(x) // 2] - logits[len(x) // 2 :] if r_drop else None
            p = torch._softmax(logits, -1, False, out=logits)  # in place: half the memory
            likelihood = p.gather(1, y)
            surprise = -likelihood.log()
            if bool((likelihood < TINY).any()):  # rare, as it costs the logits once more
                again = F.linear(x, weight).float()
                exact = again.logsumexp(dim=-1, keepdim=True) - picked
                surprise = torch.where(likelihood < TINY, exact, surprise)
            nll = nll + surprise.sum()
            if smoothing:
                uniform = uniform + (surprise + picked).sum() - (x.float() @ mean_weight).sum()
            correction = None
            if gap is not None:
                first, second = (surprise + picked).chunk(2)  # their log-sum-exps
                divergence, correction = _disagreement(p, gap.sub_(first - second))
                apart = apart + divergence
            if grad_hidden is None or grad_weight is None:
                continue
            p.scatter_add_(1, y, torch.full_like(picked, smoothing - 1))
            if correction is not None:
                p.add_(correction, alpha=r_drop / 2)
            p = p.to(hidden.dtype)
            grad_hidden[:, chunk] = torch.mm(p, weight).view(looks, -1, width)
            grad_weight.addmm_(p.t(), x)
        if grad_hidden is not None and grad_weight is not None and smoothing:
            grad_hidden -= (smoothing * mean_weight).to(hidden.dtype)
            grad_weight -= hidden.sum(dim=(0, 1)) * (smoothing / len(weight))
        ctx.save_for_backward(grad_hidden, grad_weight)
        loss = (1 - smoothing) * nll + smoothing * uniform + r_drop / 2 * apart
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        grads = grad_hidden * grad_loss, grad_weight * grad_loss.to(grad_weight.dtype)
        return *grads, None, None, None


def _disagreement(p: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """(sum over tokens of KL(a || b) + KL(b || a), its gradient by the logits).

    p [2n,V] holds n distributions a and then n distributions b, gap [n,V] is log a - log b.
    """
    a, b = p.chunk(2)
    gradient = torch.empty_like(p)
    by_a, by_b = gradient.chunk(2)
    forth = torch.mul(a, gap, out=by_a).sum(dim=-1, keepdim=True)  # KL(a || b)
    back = torch.mul(b, gap.neg_(), out=by_b).sum(dim=-1, keepdim=True)
    by_a.addcmul_(a, 1 - forth).sub_(b)  # a (gap - forth) of the one, a - b of the other
    by_b.addcmul_(b, 1 - back).sub_(a)
    return (forth + back).sum(), gradient


def cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    bias: Tensor | None = None,
    smoothing: float = 0.0,
    r_drop: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """(sum of the smoothed loss, sum of the plain negative log-likelihood), in nats.

    hidden [N,E], weight [V,E], bias [V] or none, labels [N]. With smoothing e the target
    distribution is (1 - e) one-hot + e / V (Szegedy et al. 2016, section 7). Only the first value
    has a gradient.

    hidden may also be [2,N,E], the same tokens through two dropouts: both values are then the mean
    of the two, and with `r_drop` a the loss has a / 2 times the mean of KL(first || second) and
    KL(second || first) besides: half of R-Drop's loss (Wu et al. 2021, equation 4), whose
    cross-entropy is the sum of the two.
    """
    if bias is not None:  # one more column, for an input that is always 1
        hidden = F.pad(hidden, (0, 1), value=1.0)
        weight = torch.cat([weight, bias[:, None]], dim=1)
    looks = hidden if hidden.dim() == 3 else hidden[None]
    if r_drop and len(looks) != 2:
        raise ValueError(f"r_drop needs hidden of [2,N,E], found {list(hidden.shape)}")
    loss, nll = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        looks, weight, labels, smoothing, r_drop
    )
    return loss / len(looks), nll / len(looks)


@torch.no_grad()
def token_log_probabilities(
    hidden: Tensor, head: Callable[[Tensor], Tensor], labels: Tensor
) -> Tensor:
    """log p of each label: hidden [N,E], head [n,E] -> logits [n,V], labels [N] -> [N] float32."""
    parts = []
    size = max(1, CHUNK // head(hidden[:1]).shape[-1]) if len(hidden) else 1
    for start in range(0, len(hidden), size):
        chunk = slice(start, start + size)
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
    r_drop: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """`cross_entropy` of a model's output over the real labels, and the model's own loss, if any.

    output: hidden states [B,T,E], or what `Taught` says; weight [V,E], bias [V] or none, labels
    [B,T], real (bool [B,T]). The negative log-likelihood is the labels' alone. With `r_drop` the
    output has 2B rows: all of the batch, and all of it again.
    """
    hidden = output.hidden if isinstance(output, Taught) else output
    looks = len(hidden) // len(labels)
    everywhere, wanted = real.repeat(looks, 1), labels[real]
    states = hidden[everywhere]
    loss, nll = cross_entropy(
        states.view(looks, len(wanted), -1), weight, wanted, bias=bias, smoothing=smoothing,
        r_drop=r_drop,
    )  # fmt: skip
    if isinstance(output, Taught):
        log_p = torch.zeros(everywhere.shape, device=real.device)
        head = partial(F.linear, weight=weight, bias=bias)
        log_p[everywhere] = token_log_probabilities(states, head, wanted.repeat(looks))
        loss = loss + output.own(log_p) / looks
    return loss, nll
