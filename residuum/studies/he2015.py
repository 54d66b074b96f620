"""He, Zhang, Ren, Sun 2015: deep residual learning. Items that need only trained networks."""

import numpy as np

from ..experiments.probe import layer_responses, record
from ..results import Claim, Figure, Result, Series
from . import verdicts
from .curves import listed, percent
from .study import PLAIN, RESIDUAL, Item, Need, Setting, Values

RESPONSE_IMAGES = 500


def records(setting: Setting) -> list[Need]:
    """How every network was trained."""
    return [(member.role, record()) for member in setting.trained]


def last_train_errors(setting: Setting, values: Values, role: str) -> list[float]:
    """At the end of training, of every seed."""
    return [found.epochs[-1].train_error or 0.0 for found in values.each(role, record())]


def twin_trained(setting: Setting, values: Values) -> bool:
    """Whether every plain twin errs less than half of chance on its training images: a network that
    has not trained is no measure."""
    return max(last_train_errors(setting, values, PLAIN)) < setting.chance / 2


TWIN_RULE = (
    "by Student's 95 % interval over at least three seeds; undecided unless the plain network "
    "trains below half of chance"
)


def learning_curves(setting: Setting, values: Values) -> Result:
    """Train and test error of every network by epoch (fig. 6: dashed and solid there)."""
    series, last = [], []
    for member in setting.trained:
        runs = [found.epochs for found in values.each(member.role, record())]
        epochs = tuple(row.epoch for row in runs[0])
        errors = [[(row.test_error or 0.0, row.train_error or 0.0) for row in r] for r in runs]
        test, train = (tuple(curve) for curve in (100 * np.mean(errors, axis=0)).T.tolist())
        series.append(Series(f"{member.preset}, test", epochs, test))
        series.append(Series(f"{member.preset}, train", epochs, train, style="dashed"))
        last.append(f"{member.preset} {train[-1]:.2f} / {test[-1]:.2f} %")
    ours, plain = (last_train_errors(setting, values, role) for role in (RESIDUAL, PLAIN))
    worse = [p - r for p, r in zip(plain, ours, strict=True)]
    decided = verdicts.over_seeds(worse)
    return Result(
        "learning curves",
        "How the networks learned",
        f"Train / test error at the end, means over {setting.seed_words}: {'; '.join(last)}.",
        Claim(
            "A deep plain network is harder to optimise than its residual twin: higher training "
            "error (He et al. 2015).",
            "fig. 6: plain networks of 56 layers have higher training error than of 20; residual "
            "ones lower",
            f"training error {listed(map(percent, plain))} plain, {listed(map(percent, ours))} "
            f"residual",
            decided if twin_trained(setting, values) else verdicts.OPEN,
            f"higher training error of the plain twin at the end, {TWIN_RULE}",
        ),
        Figure("epoch", "error (%)", tuple(series)),
        n=f"{setting.seed_words}, one run each; curves are means",
    )


def _response_images(setting: Setting) -> int:
    return min(RESPONSE_IMAGES, setting.test, setting.scale.examples or setting.test)


def responses_needed(setting: Setting) -> list[Need]:
    probe = layer_responses(_response_images(setting))
    return [(RESIDUAL, probe), (PLAIN, probe), (PLAIN, record())]


def responses(setting: Setting, values: Values) -> Result:
    """Standard deviation of every layer's response, in layer order (fig. 7)."""
    images, series, medians = _response_images(setting), [], []
    for role in (RESIDUAL, PLAIN):
        found = values.each(role, layer_responses(images))
        deviations = np.array([[r.std for r in layers] for layers in found])
        mean, names = deviations.mean(0).tolist(), [r.name for r in found[0]]
        labels = tuple(f"{name}: {std:.3f}" for name, std in zip(names, mean, strict=True))
        layers, name = tuple(range(1, len(names) + 1)), setting.member(role).preset
        series.append(Series(name, layers, tuple(mean), labels=labels))
        medians.append(np.median(deviations, axis=1))
    decided = verdicts.over_seeds(np.log(medians[1] / medians[0]).tolist())
    small, large = (listed(f"{median:.3f}" for median in some) for some in medians)
    residual, plain = (s.name for s in series)
    return Result(
        "layer responses",
        "How much every layer changes the signal",
        f"The median layer response is {small} in {residual} and {large} in {plain} "
        f"({setting.seed_words}).",
        Claim(
            "Residual networks have generally smaller layer responses than plain ones (He et al. "
            "2015, fig. 7).",
            "smaller in residual networks, post-activation, CIFAR-10 (read off the figure)",
            f"median {small} residual, {large} plain",
            decided if twin_trained(setting, values) else verdicts.OPEN,
            f"a smaller median in the residual network, {TWIN_RULE}; pre-activation units here, so "
            "a branch's last convolution is measured without normalisation behind it",
        ),
        Figure(
            *("layer (3x3 convolutions, in signal order)", "standard deviation of the response"),
            tuple(series),
        ),
        n=f"{images} test images; {setting.seed_words}; curves are means",
    )


LEARNING_CURVES = Item("learning curves", records, learning_curves)
LAYER_RESPONSES = Item("layer responses", responses_needed, responses)
