"""The stream as a sum of what units add, what each adds to the output, and the lens."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import UsageError
from ..task import logits
from ..views import unravel
from ..views.inputs import Inputs, call, count, take
from ..views.sums import name_of
from ..views.trace import undisturbed
from ..views.view import KEEP, Value, View
from .sweeps import MEMORY, Keeping, answers, sweep
from .taps import Activation, activations

TOLERANCE = 1e-5  # of the largest value: sums in another order differ by rounding


class Link(NamedTuple):
    """Whether the stream goes from one unit's sum to the shortcut of the next as it is.

    `gap`: the largest difference, relative to the largest value; None where shapes differ or no
    shortcut is there. A ReLU, a norm or a projection between the two makes it large.
    """

    first: int
    second: int
    gap: float | None

    @property
    def whole(self) -> bool:
        return self.gap is not None and self.gap <= TOLERANCE


class Decomposition(NamedTuple):
    """after_last = before_first + branch_first + ... + branch_last, to `gap` (relative to the
    largest value). `first` is the earliest unit that it holds from; the last of the `links` that is
    not whole says why that is not unit 0."""

    first: int
    links: tuple[Link, ...]
    gap: float


def decomposition(model: Any, inputs: Inputs, memory: int = MEMORY) -> Decomposition:
    """From which unit on the stream is the sum of what units add, seen on these inputs.

    It is from the start, or from the last projection on, where shortcuts are the identity and
    nothing follows the sums (pre-activation networks, pre-norm transformers). What follows each sum
    elsewhere (a ReLU, a norm) leaves the last unit alone.
    UsageError: a model without units; a plain last unit.
    """
    view = _with_units(model)
    gaps: dict[tuple[int, int], list[float | None]] = {}
    for _, found in activations(view, inputs, memory=memory):
        for a, b in pairwise(found):
            gaps.setdefault((a.number, b.number), []).append(_gap(a.after, b.before))
    links = tuple(
        Link(*pair, None if None in values else max(values))  # type: ignore[type-var]
        for pair, values in gaps.items()
    )
    first = max((link.second for link in links if not link.whole), default=0)
    row = range(first, len(view.units))
    sums = [_gap(f[-1].after, _total(f)) for _, f in activations(view, inputs, row, memory)]
    return Decomposition(first, links, max(gap or 0.0 for gap in sums))


def _with_units(model: Any) -> View:
    view = unravel(model)
    if not view.units:
        raise UsageError("this model has no residual units")
    return view


def _total(found: list[Activation]) -> Tensor:
    return found[0].only() + sum(each.branch for each in found)


def _gap(a: Tensor, b: Tensor | None) -> float | None:
    if b is None or a.shape != b.shape:
        return None
    return float((a - b).abs().max() / a.abs().max().clamp_min(torch.finfo(a.dtype).tiny))


# ---- what each unit adds to the output ----

Answer = Callable[[Any, Tensor], Tensor]


def target_logit(output: Any, targets: Tensor) -> Tensor:
    """The logit of the target class: output (N, K), targets (N,) -> (N,). UsageError: others."""
    found = logits(output)
    if found.ndim != 2 or targets.ndim != 1:
        raise UsageError(
            f"the target's logit is one of an output (N, K), and this one is {tuple(found.shape)}: "
            "give an answer of yours, a function (output, targets) -> (N,)"
        )
    return found.gather(1, targets[:, None])[:, 0]


class Contributions(NamedTuple):
    """Of every example: value = ahead + sum of units + constant, to `gap`.

    `value`: (N,), the answer. `ahead`: (N,), through the stream ahead of the unit `first`.
    `units`: (units from `first` on, N), through what each unit adds. `constant`: (N,), the answer
    to a stream of zeros (biases). `gap`: the largest of what is missing, relative to the largest
    value: zero to rounding where the answer is affine in the stream.
    """

    first: int
    value: Tensor
    ahead: Tensor
    units: Tensor
    constant: Tensor
    gap: float


def contributions(
    model: Any, inputs: Inputs, targets: Tensor, answer: Answer = target_logit, memory: int = MEMORY
) -> Contributions:
    """The direct way of each unit to the output, round all units behind it: its branch's part in
    the last stream, times the derivative of the answer there. Deviations and root mean squares of
    the norms behind the last unit are held at their values, so that a norm is affine (Elhage et
    al. 2021).

    `answer(output, targets)` gives (N,). Units ahead of the last break of the stream
    (`decomposition`) have no direct way; what they do is in `ahead`. A ReLU behind the last unit
    makes the answer less than affine, and `gap` says by how much. UsageError: a model without
    units; an answer that is not one number an example.
    """
    view = _with_units(model)
    first = decomposition(view, inputs, memory).first
    rows = []
    for at, found in activations(view, inputs, range(first, len(view.units)), memory // 2):
        some = take(inputs, at), targets[at]
        held = Held()
        value, slope = _answered(view, some, answer, held)
        held.replay()
        constant, _ = _answered(view, some, answer, held, zero=True)
        parts = [found[0].only(), *(each.branch for each in found)]
        dots = [(part * slope).flatten(1).double().sum(1) for part in parts]
        rows.append((value, dots[0], torch.stack(dots[1:]), constant))
    value, ahead, units, constant = (torch.cat(r, -1).cpu() for r in zip(*rows, strict=True))
    missing = (value - ahead - units.sum(0) - constant).abs().max()
    return Contributions(first, value, ahead, units, constant, float(missing / value.abs().max()))


def _answered(
    view: View, some: tuple[Any, Tensor], answer: Answer, held: "Held", zero: bool = False
) -> tuple[Tensor, Tensor]:
    """The answer (N,) in float64, and its gradient at the last stream, which may be set to zero."""
    inputs, targets = some
    leaves: list[Tensor] = []

    def see(number: int, before: Tensor | None, branch: Tensor, after: Tensor) -> Tensor | None:
        if number < len(view.units) - 1:
            return None
        held.active = True
        leaf = torch.zeros_like(after) if zero else after.detach().clone()
        leaves.append(leaf.requires_grad_())
        return leaf.clone()  # which the model may write into

    with torch.enable_grad(), undisturbed(view.model), view.observed(see), held:
        output = call(view.model, inputs)
        held.active = False
        found = answer(output, targets.to(leaves[0].device))
        if found.shape != (count(inputs),):
            raise UsageError(f"an answer is one number an example, not {tuple(found.shape)}")
        (slope,) = torch.autograd.grad(found.sum(), leaves)
    return found.detach().double(), slope


class Held(TorchFunctionMode):
    """Norms by scales that do not depend on the stream: those of the first pass, then again."""

    def __init__(self) -> None:
        super().__init__()
        self.active, self.scales, self.known = False, list[Tensor](), False

    def replay(self) -> None:
        self.known = True

    def _scale(self, value: Tensor) -> Tensor:
        if self.known:
            return self.scales.pop(0)
        self.scales.append(value.detach())
        return value.detach()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, name_of(func)
        if not self.active:
            return func(*args, **kwargs)
        if name in ("rsqrt", "std", "var"):
            return self._scale(func(*args, **kwargs))
        if name in ("layer_norm", "rms_norm"):
            return self._norm(name == "layer_norm", *args, **kwargs)
        return func(*args, **kwargs)

    def _norm(
        self,
        centred: bool,
        input: Tensor,
        normalized_shape: Any,
        weight: Tensor | None = None,
        *rest: Any,
        bias: Tensor | None = None,
        eps: float | None = None,
    ) -> Tensor:
        """torch.nn.functional.layer_norm and rms_norm, by their definition."""
        if centred:
            bias = rest[0] if rest else bias
            rest = rest[1:]
        eps = rest[0] if rest else eps
        if eps is None:
            eps = 1e-5 if centred else torch.finfo(input.dtype).eps
        dims = tuple(range(-len(normalized_shape), 0))
        x = input - input.mean(dims, keepdim=True) if centred else input
        x = x * self._scale((x.square().mean(dims, keepdim=True) + eps).rsqrt())
        x = x if weight is None else x * weight
        return x if bias is None else x + bias


# ---- the lens ----


def lens(
    model: Any, inputs: Inputs, keep: Keeping = answers, memory: int = MEMORY
) -> dict[int, Tensor]:
    """The model's own head behind every unit: by unit, the outputs (N, ...) that it gives to the
    stream there, or what `keep` makes of them (`sweep`). That behind the last unit is the model's
    own output (nostalgebraist 2020, the logit lens).

    Units whose stream has another shape than the last one's are left out: the head cannot read it.
    UsageError: a model without units; a last unit that is plain.
    """
    view = _with_units(model)
    n = len(view.units)
    rows: dict[int, list[Tensor]] = {}
    for at, found in activations(view, inputs, memory=memory // 2):
        last = found[-1]
        before = last.only()
        fits = {each.number: each.after for each in found if each.after.shape == last.after.shape}
        variants = [(*[KEEP] * (n - 1), Value(after - before)) for after in fits.values()]

        def kept(output: Any, part: slice, start: int = at.start) -> Tensor:
            return keep(output, slice(start + part.start, start + part.stop))

        outputs = sweep(view, take(inputs, at), variants, memory // 2, "lens", kept)
        for unit, output in zip(fits, outputs, strict=True):
            rows.setdefault(unit, []).append(output)
    return {unit: torch.cat(parts) for unit, parts in rows.items()}
