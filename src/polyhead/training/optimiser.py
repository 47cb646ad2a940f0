"""Adam over fp32 weights, whatever precision the model computes in.

In bf16 and fp16 the model's own weights and gradients have 16 bits, and the optimiser keeps fp32
masters of them: half the memory traffic of casting fp32 weights anew at every use. In fp16 the loss
is scaled, so that small gradients do not vanish (Micikevicius et al. 2018, section 3.2).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from polyhead.config import OptimizerConfig
from polyhead.training.processes import sharded_as, unsharded


class Optimiser:
    """Clips, steps and zeroes; its whole state is tensors by name."""

    def __init__(self, model: nn.Module, config: OptimizerConfig, clip: float | None):
        self.names = [name for name, _ in model.named_parameters()]
        self.parameters = list(model.parameters())
        self.mixed = any(p.dtype != torch.float32 for p in self.parameters)
        self.masters = (
            [p.detach().float().requires_grad_() for p in self.parameters]
            if self.mixed
            else self.parameters
        )
        half = any(p.dtype == torch.float16 for p in self.parameters)
        device = self.parameters[0].device.type if self.parameters else "cpu"
        self.scaler = torch.amp.GradScaler(device, enabled=half)
        self.clip = clip
        self.config = config
        make = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
        self.adam = make(
            self._groups(), lr=config.lr, betas=config.betas, eps=config.eps, fused=True
        )

    def _groups(self) -> list[dict[str, object]]:
        """Weight decay on matrices only, not on biases, norms and gains."""
        decay = self.config.weight_decay
        pairs = zip(self.masters, self.parameters, strict=True)
        learning = [master for master, parameter in pairs if parameter.requires_grad]
        matrices = [p for p in learning if p.dim() > 1]
        vectors = [p for p in learning if p.dim() <= 1]
        return [
            {"params": matrices, "weight_decay": decay},
            {"params": vectors, "weight_decay": 0.0},
        ]

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to go back from: in fp16 many times the real one."""
        return self.scaler.scale(loss)

    @property
    def may_overflow(self) -> bool:
        """Whether a norm that is not a number only says that the loss was scaled too far."""
        return self.scaler.is_enabled() and self.scaler.get_scale() >= 1

    @torch.no_grad()
    def step(self, lr: float) -> float:
        """Apply the gradients at this learning rate; returns their norm before clipping.

        A norm that is not a number applies nothing; in fp16 the loss is then scaled less.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.mixed:
            for master, parameter in zip(self.masters, self.parameters, strict=True):
                master.grad = None if parameter.grad is None else parameter.grad.float()
            gradients = [m.grad for m in self.masters if m.grad is not None]
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.adam)
            self.scaler.update()
        norm = float(unsharded(torch.nn.utils.get_total_norm(gradients)))
        if not math.isfinite(norm):
            return norm
        if self.clip is not None and norm > self.clip:
            torch._foreach_mul_(gradients, self.clip / norm)
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()
        if self.mixed:
            torch._foreach_copy_([*self.parameters], [*self.masters])
        return norm

    def zero(self) -> None:
        """Forget the gradients."""
        for parameter in (*self.parameters, *self.masters):
            parameter.grad = None

    def weights(self) -> dict[str, Tensor]:
        """The fp32 weights by name."""
        return {n: m.detach() for n, m in zip(self.names, self.masters, strict=True)}

    def state(self) -> dict[str, Tensor]:
        """Adam's moments and step by parameter name."""
        tensors = {}
        for name, master in zip(self.names, self.masters, strict=True):
            for key, value in self.adam.state.get(master, {}).items():
                tensors[f"{name}:{key}"] = value
        return tensors

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor], state: dict[str, Tensor]) -> None:
        """Go back to saved weights and moments."""
        for name, master, parameter in zip(self.names, self.masters, self.parameters, strict=True):
            master.copy_(sharded_as(weights[name], master))
            if self.mixed:
                parameter.copy_(master)
            entries = {
                key.rpartition(":")[2]: sharded_as(value, master).to(master.device).clone()
                for key, value in state.items()
                if key.rpartition(":")[0] == name
            }
            if entries:
                self.adam.state[master] = entries
