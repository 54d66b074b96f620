"""One run over several processes, started by torchrun; without it all here is the identity."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Timer

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .. import progress
from ..errors import DistributedError
from .heartbeat import Heart
from .signals import sigterm_ends

MEETING = timedelta(seconds=25)  # until all ranks are there
PATIENCE = timedelta(seconds=45)  # with a rank that does not take part


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

    def wrap(self, network: nn.Module, unused: bool = False) -> nn.Module:
        """The network whose backward pass averages gradients over the team.

        `unused`: a step may leave parameters out.
        """
        if self.size == 1:
            return network
        from torch.nn.parallel import DistributedDataParallel

        # buffers are rank 0's at every step
        return DistributedDataParallel(network, find_unused_parameters=unused)

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

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Every rank takes rank 0's values."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()

    def tell(self, text: str) -> list[str]:
        """What every rank says, in the order of ranks."""
        if self.size == 1:
            return [text]
        said = torch.tensor(list(text.encode()), dtype=torch.uint8, device=self.device)
        lengths = [int(n) for (n,) in self.gather(torch.tensor([len(said)], device=self.device))]
        padded = said.new_zeros(max(lengths))
        padded[: len(said)] = said
        rows = zip(self.gather(padded), lengths, strict=True)
        return [bytes(map(int, row[:n])).decode() for row, n in rows]


@contextmanager
def team(device: str) -> Iterator[Team]:
    """The team that torchrun's environment describes; alone, one. NCCL on CUDA, else gloo.

    DistributedError: an environment that describes none, ranks that do not meet within half a
    minute, or one that is gone or silent (named) while the others work.
    """
    rank, size = _environment()
    if size == 1:
        yield Team(device=device)
        return
    cuda = device.startswith("cuda")
    if cuda:
        device = f"cuda:{int(os.environ.get('LOCAL_RANK', '0'))}"
        torch.cuda.set_device(device)
    heart = _meet("nccl" if cuda else "gloo", rank, size)
    try:
        yield Team(rank, size, device)
    except RuntimeError as error:
        raise _lost(error, heart.silent(), rank, size) from error
    finally:
        heart.stop()
        dist.destroy_process_group()


def _environment() -> tuple[int, int]:
    """Rank and number of processes. DistributedError: words, too small or too large, one missing"""
    size, rank = os.environ.get("WORLD_SIZE") or "1", os.environ.get("RANK") or ""
    advice = "Start with torchrun, or unset WORLD_SIZE and RANK"
    if not (size.isdecimal() and int(size) > 0):
        raise DistributedError(f"WORLD_SIZE is {size!r}, not a number of processes. {advice}")
    if not rank and int(size) > 1:
        raise DistributedError(f"WORLD_SIZE is {size}, but RANK is not set. {advice}")
    if rank and not (rank.isdecimal() and int(rank) < int(size)):
        most = int(size) - 1
        raise DistributedError(f"RANK is {rank!r}, not a number from 0 to {most}. {advice}")
    return int(rank or 0), int(size)


def _meet(backend: str, rank: int, size: int) -> Heart:
    host, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    # a library's wait for a connection that is never answered knows no end
    watch = Timer(MEETING.seconds, _nobody, (f"rank {rank} of {size}: no answer at {host}:{port}",))
    watch.daemon = True
    watch.start()
    try:
        with sigterm_ends():
            store, *_ = next(dist.rendezvous("env://", rank, size, timeout=MEETING))  # type: ignore[operator]
            dist.init_process_group(
                backend, store=store, rank=rank, world_size=size, timeout=PATIENCE
            )
        return Heart(str(host), int(port or 0), rank, size)
    except Exception as error:
        said = f"no contact at {host}:{port} ({_first_line(error)}). Start with torchrun"
        raise DistributedError(f"rank {rank} of {size}: {said}") from error
    finally:
        watch.cancel()


def _nobody(message: str) -> None:
    said = f"residuum: error: {message} within {MEETING.seconds} s. Start with torchrun"
    print(said, file=progress.stderr, flush=True)
    os._exit(DistributedError.exit_code)


def _lost(error: RuntimeError, silent: list[int], rank: int, size: int) -> Exception:
    """What a failed exchange means; the error itself where it was none."""
    said, advice = _first_line(error), "Run it again to go on from the last checkpoint"
    place = "".join(f" at {note}" for note in getattr(error, "__notes__", ()))
    if silent:
        names = " and ".join(f"rank {n}" for n in silent)
        gone = f"{names} of {size} no longer answers: killed, stopped or cut off"
        return DistributedError(f"rank {rank}{place}: {gone}. {advice} ({said})")
    if "imed out" in said or "timeout" in said:
        others = " or ".join(f"rank {n}" for n in range(size) if n != rank)
        late = f"{others} lives but has not come within {PATIENCE.seconds} s"
        return DistributedError(f"rank {rank}{place}: {late}. {advice} ({said})")
    return error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
