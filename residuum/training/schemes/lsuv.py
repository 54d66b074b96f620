"""Layer-sequential unit variance (Mishkin and Matas 2016): initial weights from data."""

from typing import TYPE_CHECKING, Literal

from ... import progress
from ...errors import NumericError
from ...reader import Count, Positive
from .named import Named

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .scheme import Batch


class Lsuv(Named, frozen=True, tag="lsuv"):
    """Orthonormal weights, each then divided by its output's deviation till the variance is one.

    Convolutions and linear layers, in the order in which a pass in evaluation mode reaches them,
    before the activation; normalisations stay. A layer that stands in two places is scaled at the
    first, one that such a pass does not reach (a companion's head) is left as it was.

    As it stands: the authors' script, |variance - 1| <= 0.02 in at most 21 divisions, but all of
    them on the first batch, where that script takes a new one each time. The authors' PyTorch port:
    `Lsuv(0.1, 10, "deviation")`, with `centre` for its option that subtracts the output's mean
    from the bias.

    NumericError: a layer's output does not vary, so that nothing can be divided. Warns where a
    layer has not come within the tolerance.
    """

    tolerance: Positive = 0.02
    divisions: Count = 21
    tested: Literal["variance", "deviation"] = "variance"
    centre: bool = False

    def prepare(self, network: "nn.Module", batch: "Batch") -> None:
        import torch
        from torch import nn

        from ...views.edits import at_rest

        layers: dict[nn.Module, str] = {
            m: n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)
        }
        done = set[nn.Module]()

        def scale(layer: nn.Module, inputs: "tuple[Tensor, ...]", output: "Tensor") -> "Tensor":
            if layer in done:
                return output
            done.add(layer)
            fresh = torch.empty(layer.weight.shape, device=layer.weight.device)  # type: ignore[arg-type]
            layer.weight.copy_(nn.init.orthogonal_(fresh))  # type: ignore[operator]
            return self._scaled(layer, layers[layer], inputs)

        handles = [layer.register_forward_hook(scale) for layer in layers]
        try:
            with at_rest(network), torch.no_grad():
                network(batch[0])
        finally:
            for handle in handles:
                handle.remove()

    def _scaled(self, layer: "nn.Module", name: str, inputs: "tuple[Tensor, ...]") -> "Tensor":
        """The layer's output once its weight, and its bias, are as they will be."""
        output = layer.forward(*inputs)
        if self.centre and layer.bias is not None:
            layer.bias -= output.mean((0, *range(2, output.ndim)))  # type: ignore[operator]
            output = layer.forward(*inputs)
        for _ in range(self.divisions):
            variance = output.var(correction=0).item()
            tested = variance if self.tested == "variance" else variance**0.5
            if abs(tested - 1) <= self.tolerance:
                return output
            if not 0 < variance < float("inf"):
                raise NumericError(f"lsuv: the output of {name} has variance {variance:g}")
            layer.weight /= variance**0.5  # type: ignore[operator]
            output = layer.forward(*inputs)
        progress.say(f"warning: lsuv: the output of {name} has variance {variance:.3g}")
        return output
