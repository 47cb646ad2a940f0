"""Learning through random choices that have no gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Reinforce(nn.Module):
    """REINFORCE (Williams 1992) with a moving baseline and an entropy term, as a loss:

        loss = -reward * sum_t (R_t - b_t) log p(choice_t) - entropy * sum_t H_t

    Its gradient is the estimate of Xu et al. 2015, section 4.1: raise the probability of choices
    that were followed by more than the usual log-likelihood. R_t sums the log-probabilities of
    the tokens that choice t had a part in; b_t is the moving mean of a token's, as often. The two
    weights are theirs, lambda_r and lambda_e.
    """

    baseline: Tensor
    begun: Tensor

    def __init__(self, *, entropy_weight: float, reward_weight: float = 1.0, decay: float = 0.9):
        super().__init__()
        self.entropy_weight, self.reward_weight = entropy_weight, reward_weight
        self.decay = decay
        self.register_buffer("baseline", torch.zeros(()))
        self.register_buffer("begun", torch.zeros(()))

    def forward(
        self,
        log_p: Tensor,
        chosen: Tensor,
        entropy: Tensor,
        real: Tensor,
        *,
        lasting: bool,
    ) -> Tensor:
        """The loss (a sum) of choices of log-probability `chosen` [B,T] with `entropy` [B,T].

        log_p [B,T]: of the labels. real (bool [B,T]): where something was chosen; the rest counts
        for nothing, in the baseline neither. lasting: a choice has a part in all later tokens, not
        in its own alone. Moves the baseline.
        """
        mean = (log_p * real).sum() / real.sum().clamp_min(1)
        usual = mean
        if bool(self.begun):
            self._settle()
            usual = self.baseline
        gain = (log_p - usual) * real
        if lasting:
            gain = gain.flip(1).cumsum(dim=1).flip(1)
        if bool(real.any()):
            self._move(mean)
        reward = (gain.detach() * chosen * real).sum()
        return -self.reward_weight * reward - self.entropy_weight * (entropy * real).sum()

    @torch.no_grad()
    def _settle(self) -> None:
        """Once averaged over processes, `begun` is the share of those that have."""
        self.baseline.div_(self.begun)
        self.begun.fill_(1.0)

    @torch.no_grad()
    def _move(self, mean: Tensor) -> None:
        keep = self.decay * self.begun
        self.baseline.mul_(keep).add_((1 - keep) * mean)
        self.begun.fill_(1.0)
