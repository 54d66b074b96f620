"""One run over several processes, started by torchrun; without it all here is the identity."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import DistributedError


@dataclass(frozen=True)
class Team:
    """This process among the ranks of a run. Rank 0 speaks and writes."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def sums(self) -> torch.dtype:
        """The type that sums are kept in: float64 wherever the device has it."""
        return torch.float32 if self.device.startswith("mps") else torch.float64

    def share(self, batch: Tensor) -> Tensor:
        """This rank's part of a global batch; the parts are disjoint and together the whole."""
        return batch[self.rank :: self.size]

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network whose backward pass averages gradients over the team."""
        if self.size == 1:
            return network
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(network, broadcast_buffers=True)

    def total(self, sums: Tensor) -> Tensor:
        """Sums over the team: losses, right answers, examples. Averages are taken after."""
        if self.size > 1:
            dist.all_reduce(sums)
        return sums

    def agree(self, *flags: bool) -> list[bool]:
        """Each flag is true on all ranks once it is on one, so that all leave at the same step."""
        if self.size == 1:
            return list(flags)
        votes = torch.tensor(flags, dtype=torch.int64, device=self.device)
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return votes.bool().tolist()

    def gather(self, values: Tensor) -> list[list[float]]:
        """The values of every rank, in the order of ranks."""
        if self.size == 1:
            return [values.tolist()]
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values)
        return [part.tolist() for part in parts]

    def share_buffers(self, network: nn.Module) -> None:
        """Every rank takes rank 0's running statistics: what is evaluated is what is saved."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()


@contextmanager
def team(device: str) -> Iterator[Team]:
    """The team that torchrun's environment describes; alone, one. NCCL on CUDA, else gloo.

    DistributedError: the processes cannot reach each other within a minute.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(device=device)
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = device.startswith("cuda")
    if cuda:
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    try:
        dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(seconds=60))
    except Exception as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        said = f"no contact at {where} ({error}). Start with torchrun"
        raise DistributedError(f"rank {rank} of {size}: {said}") from error
    try:
        yield Team(rank, size, device)
    finally:
        dist.destroy_process_group()
