"""Less memory for more time: what a block computes is not kept, but computed again going back.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost". The numbers are the same to the
bit: dropout draws what it drew.
"""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from polyhead.errors import TrainingError
from polyhead.layers.block import DecoderBlock, EncoderBlock


def recompute(model: nn.Module) -> None:
    """Keep only what goes into each Transformer block; raises TrainingError where there is none."""
    blocks = [m for m in model.modules() if isinstance(m, EncoderBlock | DecoderBlock)]
    if not blocks:
        raise TrainingError(
            f"training.recompute: a {type(model).__name__} has no Transformer blocks; leave it out"
        )
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]
