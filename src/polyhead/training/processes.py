"""Several processes that train one model together; alone, everything here is the identity.

torchrun starts the processes and gives each its place (RANK, WORLD_SIZE, …). Each takes its rows of
the same global batch. What passes between them are gradients, sums, and values of the first one.
"""

from __future__ import annotations

import json
import os
import socket
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from polyhead.errors import PolyheadError, TrainingError, UsageError
from polyhead.layers.block import DecoderBlock, EncoderBlock
from polyhead.training.progress import console

T = TypeVar("T")
TOGETHER = timedelta(minutes=30)  # the longest one process may lag behind in a step
PATIENCE = timedelta(days=7)  # the longest the others wait while the first validates
NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Processes:
    """The place of this process among those that train together."""

    rank: int = 0
    size: int = 1
    control: Any = None  # the group by which values pass; its members wait patiently

    @property
    def first(self) -> bool:
        """Whether this is the one that speaks, validates and writes."""
        return self.rank == 0

    # --- shares of the work

    def rows(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
        """This process's rows of a global batch, and the weight of their loss.

        Gradients are averaged over processes, so that a sum counts `size` times. A process without
        a row computes one whose loss counts nothing: the others wait for its part.
        """
        mine = indices[self.rank :: self.size]
        return (mine, self.size) if len(mine) else (indices[:1], 0)

    def wrap(self, objective: nn.Module, sharding: str) -> nn.Module:
        """The objective whose backward pass averages gradients over all processes.

        With `fsdp`, every process keeps only its part of the weights, gradients and moments. Blocks
        are gathered one at a time when they are needed, what is in no block (all of a recurrent or
        convolutional model) for the whole step.
        """
        if self.size == 1:
            return objective
        if sharding == "none":
            with warnings.catch_warnings():  # newer torch has another name for this option
                warnings.simplefilter("ignore", FutureWarning)
                return DistributedDataParallel(objective, broadcast_buffers=False)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        device = next(objective.parameters()).device.type
        mesh = init_device_mesh(device, (self.size,))
        for module in list(objective.modules()):
            if isinstance(module, EncoderBlock | DecoderBlock):
                fully_shard(module, mesh=mesh)
        fully_shard(objective, mesh=mesh)
        return objective

    def reducing(self, objective: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Around a part of a step: gradients pass between processes at the last part alone."""
        if isinstance(objective, DistributedDataParallel) and not last:
            return objective.no_sync()
        return nullcontext()

    def diverge(self, *seed: int) -> None:
        """Give every process but the first its own random numbers (dropout)."""
        if not self.first:
            state = np.random.SeedSequence([*seed, self.rank]).generate_state(1, np.uint64)
            torch.manual_seed(int(state[0]))

    # --- values

    def share(self, value: T) -> T:
        """The first process's value (anything JSON can say), on all; waits for it patiently."""
        if self.size == 1:
            return value
        text = json.dumps(value).encode() if self.first else b""
        length = torch.tensor([len(text)])
        dist.broadcast(length, 0, group=self.control)
        data = torch.zeros(int(length), dtype=torch.uint8)
        if self.first:
            data = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        dist.broadcast(data, 0, group=self.control)
        received: T = json.loads(data.numpy().tobytes())
        return received

    def sums(self, *values: float) -> list[float]:
        """Each number added up over all processes."""
        return self._reduce(values, dist.ReduceOp.SUM)

    def largest(self, *values: float) -> list[float]:
        """The largest of each number over all processes."""
        return self._reduce(values, dist.ReduceOp.MAX)

    def _reduce(self, values: tuple[float, ...], how: Any) -> list[float]:
        if self.size == 1:
            return list(values)
        both = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(both, how, group=self.control)
        found: list[float] = both.tolist()
        return found

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Give each tensor its mean over all processes: what they learn without gradients."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)
                tensor.div_(self.size)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """A small tensor (in main memory, of one shape everywhere) of every process, in order."""
        if self.size == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(found, tensor, group=self.control)
        return found

    def whole(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is sharded put together on the first process, nowhere else; the rest as it is."""
        found = {}
        for name, tensor in tensors.items():
            full = unsharded(tensor)
            if full is tensor:
                found[name] = tensor
            elif self.first:
                found[name] = full.cpu()
        return found


ALONE = Processes()


def unsharded(tensor: Tensor) -> Tensor:
    """A whole tensor, of which this process may hold a part; all processes must ask together."""
    return tensor.full_tensor() if _is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def sharded_as(full: Tensor, other: Tensor) -> Tensor:
    """This process's part of a whole tensor that every process holds; cut as another one is."""
    if not _is_sharded(other) or full.shape != other.shape:
        return full
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = other.device_mesh, other.placements  # type: ignore[attr-defined]
    return distribute_tensor(full.to(other.device), mesh, placements, src_data_rank=None)


def _is_sharded(tensor: Tensor) -> bool:
    if not (dist.is_available() and dist.is_initialized()):
        return False  # and DTensor, which takes half a second, need not be imported
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


# --- joining and parting


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that were started together with this one; alone, nothing happens.

    Only the first one speaks. Where one fails all fail: who fails first says why, the others end
    without a word. Raises UsageError where the variables of torchrun are incomplete.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    store = _store(size)
    processes = _join(store, size)
    console.quiet = not processes.first
    try:
        yield processes
        processes.share(None)  # all end together: what fails at the very end fails for all
        dist.destroy_process_group()
    except BaseException as error:
        # The group is left as it is: to take it apart may wait for a process that is gone.
        if not _fails_first(store):
            raise SystemExit(1) from None
        if isinstance(error, PolyheadError):
            if not processes.first:
                error.args = (f"process {processes.rank + 1} of {size}: {error}",)
            raise
        if isinstance(error, RuntimeError) and _lost(error):
            raise TrainingError(
                "another process of this training has ended without a word (killed, or out of "
                f"memory?), and so all end. What process {processes.rank + 1} of {size} saw: "
                f"{str(error).splitlines()[0]}"
            ) from None
        raise
    finally:
        console.quiet = False


def _store(size: int) -> dist.Store:
    """Where the processes meet. torchrun's own store outlives a restart, so attempts keep apart."""
    if missing := [name for name in NEEDED if name not in os.environ]:
        raise UsageError(
            f"WORLD_SIZE is {size}, so several processes train together, but {missing[0]} is not "
            "set. Start them with: torchrun --nproc-per-node N -m polyhead train RECIPE"
        )
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        size,
        is_master=os.environ["RANK"] == "0" and not agent,
        timeout=TOGETHER,
    )
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return dist.PrefixStore(f"polyhead/{attempt}", store)


def _join(store: dist.Store, size: int) -> Processes:
    rank = int(os.environ["RANK"])
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        local, here = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= here:
            raise UsageError(
                f"process {local + 1} of this machine finds {here} GPUs; one each is needed: "
                f"torchrun --nproc-per-node {here}"
            )
        torch.cuda.set_device(local)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TOGETHER)
    return Processes(rank, size, dist.new_group(backend="gloo", timeout=PATIENCE))


def _fails_first(store: dist.Store) -> bool:
    try:
        return store.add("failed", 1) == 1
    except RuntimeError:  # the store has gone with the process that failed
        return False


def _lost(error: RuntimeError) -> bool:
    """Whether a process lost another one, and has no fault of its own."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def launch_id() -> str | None:
    """What one torchrun and all its restarts have in common; None outside of it."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return f"{socket.gethostname()}/{os.getppid()}" if name == "none" else name
