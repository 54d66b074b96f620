"""What operations do to a signal, as far as finding residual units needs to know."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import Tensor


def words(text: str) -> frozenset[str]:
    """Those of a text, as a set."""
    return frozenset(text.split())


# the same values in another order or place
LAYOUT = words(
    "view _unsafe_view reshape _reshape_copy _reshape_alias permute transpose t clone contiguous"
    " alias detach expand squeeze unsqueeze roll _to_copy copy lift_fresh native_dropout dropout"
    " as_strided unfold_copy view_as_real view_as_complex bernoulli_ resolve_conj layout"
)
# fewer or more of them, each by itself or with its neighbours
POINTWISE = words(
    "relu gelu silu tanh sigmoid hardswish hardtanh hardsigmoid elu leaky_relu prelu mish softplus"
    " threshold clamp clamp_min mean rsqrt pow sqrt constant_pad_nd reflection_pad2d"
    " replication_pad2d pixel_shuffle pixel_unshuffle exp abs"
)
PATTERNS = (
    ("norm", re.compile(r"batch_norm|layer_norm|group_norm|instance_norm|rms_norm")),
    ("attention", re.compile(r"scaled_dot_product|flash_attention|efficient_attention|multi_head")),
    ("weight", re.compile(r"convolution|conv\dd|linear|embedding|^(add|ba?dd|b)?b?mm$|grouped_mm")),
    ("weight", re.compile(r"lstm|gru|rnn_")),
    ("mixing", re.compile(r"fft|softmax|cumsum")),
    ("pool", re.compile(r"pool")),
    ("resized", re.compile(r"upsample|interpolate|grid_sampler")),
)
SLICES = words("slice select narrow split split_with_sizes unsafe_split unbind chunk")
FACTORY = re.compile(
    r"^(zeros|ones|empty|full|new_|rand|arange|scalar_tensor|eye|linspace|bernoulli$|tril_indices)"
)
REDUCING = words("sum amax amin max min logsumexp")  # many values to one
RESAMPLING = frozenset(["cheap", "norm", "pool", "resized", "strided", "mean", "reduced"])
MIXING = frozenset(["mixing", "pool", "attention", "mean"])


def classify(name: str) -> str:
    """Of an operation of aten, the word for what it does; its own name where no word fits."""
    base = name if name.startswith("_") else name.rstrip("_")
    if base in LAYOUT:
        return "layout"
    for kind, pattern in PATTERNS:
        if pattern.search(base):
            return kind
    if base in POINTWISE:
        return "mean" if base == "mean" else "cheap"
    if base in SLICES:
        return "slice"
    return {"div": "mul", "neg": "mul", "rsub": "sub"}.get(base, base)


ONE_TYPE = re.compile(r"^((add|ba?dd|b)?b?mm|linear|.*convolution.*|conv\dd)$")
NO_INTEGERS = re.compile(r"norm|softmax|gelu|silu|mish|elu$|hardswish")


def require_types(name: str, given: list[Tensor]) -> None:
    """TypeError: an operation that fake tensors let pass and real ones do not."""
    types = list(dict.fromkeys(tensor.dtype for tensor in given))
    mixed = ONE_TYPE.match(name) and len(types) > 1
    counted = NO_INTEGERS.search(name) and given and not given[0].dtype.is_floating_point
    if mixed or (counted and not given[0].dtype.is_complex):
        raise TypeError(f"{name} of tensors of type {' and '.join(map(str, types))}")


def reduces(name: str, constants: Iterable[Any], given: int) -> bool:
    """Whether it pools one tensor over some of its dimensions (not all: that is no stream)."""
    return name in REDUCING and given == 1 and any(type(c) is int for c in constants)


def is_factory(name: str) -> bool:
    """Whether it reads shapes alone."""
    return FACTORY.match(name) is not None
