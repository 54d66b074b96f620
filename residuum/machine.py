"""On what machine a run computes: device, threads, precision. Importing it loads no torch."""

from dataclasses import dataclass, replace
from typing import Literal

from .errors import UsageError, nearest
from .reader import Count, NotNegative, check

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes; what is trained is the recipe's matter.

    Bit-identical resuming holds for the same machine, threads, library versions and number of
    processes.
    """

    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    threads: Count = 1
    """Torch threads; more pay off only on cores that are idle, and change the last bits."""
    precision: Precision = "float32"
    """Otherwise autocast; float16 adds a gradient scaler."""
    compile: bool = False
    """Use torch.compile for training steps."""
    save_seconds: NotNegative = 60.0
    """A checkpoint at least this often, and at the end of every epoch."""

    def resolved(self) -> "Machine":
        """With the device that "auto" stands for here.

        UsageError: a device that is not there, or a precision that it lacks.
        """
        import torch

        check(self, "machine", UsageError)
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        kind = device.split(":")[0]
        if kind not in ("cpu", "cuda", "mps"):
            hint = nearest(device, ("auto", "cpu", "cuda", "mps"))
            raise UsageError(f"unknown device {device!r}.{hint}")
        if kind == "cuda" and not torch.cuda.is_available():
            raise UsageError("device cuda: torch sees no CUDA device here. Use --device cpu")
        if kind == "mps" and not torch.backends.mps.is_available():
            raise UsageError("device mps: torch sees no Apple GPU here. Use --device cpu")
        if self.precision == "float16" and kind == "cpu":
            raise UsageError("precision float16 needs a GPU. Use --precision bfloat16 on a CPU")
        return replace(self, device=device)
