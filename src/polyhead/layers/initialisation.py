"""How the weights of BERT, GPT and a post-norm Transformer begin."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from polyhead.layers.block import EncoderBlock
from polyhead.layers.embeddings import TokenEmbedding
from polyhead.layers.positions import Positions, sinusoids

STD = 0.02  # Devlin et al. 2019, Radford et al. 2019


@torch.no_grad()
def normal(model: nn.Module, *, blocks: Iterable[nn.Module] = (), residual: float = 1.0) -> None:
    """Matrices and embeddings from N(0, STD^2), biases 0, norms as they are.

    The projections of `blocks` that end in a residual sum are `residual` times as large: 1/sqrt(2N)
    in GPT-2 (Radford et al. 2019, section 2.3), whose N blocks add 2N terms.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=STD)
            nn.init.zeros_(module.bias)
        elif isinstance(module, TokenEmbedding | nn.Embedding):
            nn.init.normal_(module.weight, std=STD)
        elif isinstance(module, Positions) and module.kind == "learned":
            nn.init.normal_(module.table, std=STD)
    for block in blocks:
        if isinstance(block, EncoderBlock):
            for projection in (block.attention.output, block.feedforward.outer):
                weight: Tensor = projection.weight
                weight.mul_(residual)


@torch.no_grad()
def waves(positions: Positions) -> None:
    """Learned positions begin as sinusoids with the standard deviation of the rest, not as noise.

    What is next to a token is then known from the first step (docs/decisions/0010).
    """
    length, width = positions.table.shape
    positions.table.copy_(STD * 2**0.5 * sinusoids(length, width + width % 2)[:, :width])
