"""On what machine a run computes: device, threads, precision. Importing it loads no torch."""

import ctypes
import os
import platform
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

from .errors import UsageError, nearest
from .reader import Count, NotNegative, check

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Hardware:
    """Where something computes in float32: what measuring asks for."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    threads: Count = 1
    """Torch threads; more pay off only on cores that are idle, and change the last bits."""
    release_memory: bool = False
    """Give memory back to the system at every step, as torch does by itself; that is slower."""

    def resolved(self) -> Self:
        """With the device that "auto" stands for here.

        UsageError: a device that is not there, or more threads than cores.
        """
        import torch

        check(self, "machine", UsageError)
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        kind, _, number = device.partition(":")
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device, re.ASCII):
            hint = nearest(device, ("auto", "cpu", "cuda", "cuda:1", "mps"))
            raise UsageError(f"unknown device {device!r}.{hint}")
        if kind == "cuda" and not torch.cuda.is_available():
            raise UsageError("device cuda: torch sees no CUDA device here. Use --device cpu")
        if number and int(number) >= (there := torch.cuda.device_count()):
            raise UsageError(f"device {device}: torch sees {there}, from cuda:0 on")
        if kind == "mps" and not torch.backends.mps.is_available():
            raise UsageError("device mps: torch sees no Apple GPU here. Use --device cpu")
        cores = os.cpu_count() or 1
        if self.threads > cores:
            most = f"threads must be at most {cores}, this machine's cores"
            raise UsageError(f"{most}, not {self.threads}")
        return replace(self, device=device)

    def prepare(self) -> None:
        """Set torch's threads and the allocator, for this process: before anything is computed."""
        import torch

        torch.set_num_threads(self.threads)
        if self.keeps_memory:
            for option, size in KEEP:
                ctypes.CDLL(None).mallopt(option, size)

    @property
    def keeps_memory(self) -> bool:
        """Whether freed memory is kept for the next step: with glibc, unless asked otherwise."""
        return not self.release_memory and platform.libc_ver()[0] == "glibc"


@dataclass(frozen=True)
class Machine(Hardware):
    """Where and how a run computes; what is trained is the recipe's matter.

    Bit-identical resuming holds for the same machine, threads, library versions and number of
    processes.
    """

    precision: Precision = "float32"
    """Otherwise autocast; float16 adds a gradient scaler."""
    compile: bool = False
    """Use torch.compile for training steps."""
    recompute: bool = False
    """Compute activations again in the backward pass: very deep networks in little memory."""
    save_seconds: NotNegative = 60.0
    """A checkpoint at least this often, and at the end of every epoch."""

    def resolved(self) -> Self:
        """UsageError: also a precision that the device lacks."""
        found = super().resolved()
        if self.precision == "float16" and found.device == "cpu":
            raise UsageError("precision float16 needs a GPU. Use --precision bfloat16 on a CPU")
        if self.recompute and self.compile:
            raise UsageError("recompute and compile exclude each other: leave one of them out")
        return found


# M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, the largest that glibc takes: a step's activations come
# from memory that the step before has used. Else each step gives them back to the system, which
# must clear every page again.
KEEP = ((-1, 2**31 - 1), (-3, 2**25))


def processor() -> dict[str, str]:
    """The CPU's model and the instruction set in use: rounding differs between them."""
    import torch

    instructions = torch.backends.cpu.get_cpu_capability()
    # of oneDNN, under its present name and its former one
    for variable in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        if limit := os.environ.get(variable):
            instructions += f", oneDNN at most {limit}"
            break
    return {"processor": _processor_model(), "instructions": instructions}


def _processor_model() -> str:
    """Linux has the name in a file; virtual machines often hide it, but not family and number."""
    try:
        told = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        told = ""
    found = dict(re.findall(r"^(model name|cpu family|model)[ \t]*: (.+)$", told, re.MULTILINE))
    if "model name" not in found:
        return platform.processor() or platform.machine()
    numbers = f"family {found.get('cpu family')}, model {found.get('model')}"
    return f"{found['model name']} ({numbers})"
