"""The largest of many columns, found block by block: torch's own topk reads slowly on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 64  # columns
_FEW = 1 << 14  # values that torch's topk reads faster than all the operations here take


def top(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest values of each row and their columns, best first: [R,V] -> [R,k], [R,k].

    The k largest lie in the k blocks with the largest maxima, so only those are searched (and the
    columns after the last whole block). Equal values may come in another order than torch.topk's.
    """
    rows, columns = x.shape
    blocks = columns // BLOCK
    if blocks < 4 * k or x.numel() <= _FEW:
        return x.topk(k, dim=1)
    whole = x[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK))
    chosen = whole.amax(dim=2).topk(k, dim=1, sorted=False).indices
    searched = whole.gather(1, chosen[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
    if blocks * BLOCK < columns:
        searched = torch.cat([searched, x[:, blocks * BLOCK :]], dim=1)
        chosen = torch.cat([chosen, chosen.new_full((rows, 1), blocks)], dim=1)
    values, places = searched.topk(k, dim=1)
    return values, chosen.gather(1, places // BLOCK) * BLOCK + places % BLOCK
