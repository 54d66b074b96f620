"""He, Zhang, Ren, Sun 2015: deep residual learning. Items that need only trained networks."""

from ..experiments.probe import layer_responses, record
from ..results import Claim, Figure, Result, Series
from .curves import percent, verdict
from .study import PLAIN, RESIDUAL, Item, Need, Setting, Values

RESPONSE_IMAGES = 500


def records(setting: Setting) -> list[Need]:
    """How every network was trained."""
    return [(member.role, record()) for member in setting.members]


def learning_curves(setting: Setting, values: Values) -> Result:
    """Train and test error of every network by epoch (fig. 6: dashed and solid there)."""
    series, last = [], []
    for member in setting.members:
        rows = values.of(member.role, record()).epochs
        epochs = tuple(r.epoch for r in rows)
        test = tuple(100 * (r.test_error or 0.0) for r in rows)
        train = tuple(100 * (r.train_error or 0.0) for r in rows)
        series.append(Series(f"{member.preset}, test", epochs, test))
        series.append(Series(f"{member.preset}, train", epochs, train, style="dashed"))
        last.append(f"{member.preset} {train[-1]:.2f} / {test[-1]:.2f} %")
    residual, twin = (values.of(role, record()) for role in (RESIDUAL, PLAIN))
    ours, plain = (found.epochs[-1].train_error or 0.0 for found in (residual, twin))
    return Result(
        "learning curves",
        "How the networks learned",
        f"Train / test error at the end: {'; '.join(last)}.",
        Claim(
            "A deep plain network is harder to optimise than its residual twin: higher training "
            "error (He et al. 2015).",
            "fig. 6: plain networks of 56 layers have higher training error than of 20; residual "
            "ones lower",
            f"training error {percent(plain)} plain, {percent(ours)} residual",
            verdict(plain > ours),
            "higher training error of the plain twin at the end, one seed each",
        ),
        Figure("epoch", "error (%)", tuple(series)),
        n=f"one run each, seed {residual.seed}",
    )


def _response_images(setting: Setting) -> int:
    return min(RESPONSE_IMAGES, setting.test, setting.scale.examples or setting.test)


def responses_needed(setting: Setting) -> list[Need]:
    return [(role, layer_responses(_response_images(setting))) for role in (RESIDUAL, PLAIN)]


def responses(setting: Setting, values: Values) -> Result:
    """Standard deviation of every layer's response, in layer order (fig. 7)."""
    images, series = _response_images(setting), []
    for role in (RESIDUAL, PLAIN):
        found = values.of(role, layer_responses(images))
        layers, labels = range(1, len(found) + 1), (f"{r.name}: {r.std:.3f}" for r in found)
        deviations, name = tuple(r.std for r in found), setting.member(role).preset
        series.append(Series(name, tuple(layers), deviations, labels=tuple(labels)))
    small, large = (sorted(s.y)[len(s.y) // 2] for s in series)
    residual, plain = (s.name for s in series)
    return Result(
        "layer responses",
        "How much every layer changes the signal",
        f"The median layer response is {small:.3f} in {residual} and {large:.3f} in {plain}.",
        Claim(
            "Residual networks have generally smaller layer responses than plain ones (He et al. "
            "2015, fig. 7).",
            "smaller in residual networks, post-activation, CIFAR-10 (read off the figure)",
            f"median {small:.3f} residual, {large:.3f} plain",
            verdict(small < large),
            "a smaller median in the residual network; pre-activation units here, so a branch's "
            "last convolution is measured without normalisation behind it",
        ),
        Figure(
            *("layer (3x3 convolutions, in signal order)", "standard deviation of the response"),
            tuple(series),
        ),
        n=f"{images} test images",
    )


LEARNING_CURVES = Item("learning curves", records, learning_curves)
LAYER_RESPONSES = Item("layer responses", responses_needed, responses)
