"""What training itself shows: learning curves, the first layer's gradient, the layers' responses."""

from collections.abc import Sequence

from ..anatomy import layer_responses
from ..results import Claim, Figure, Result, Series
from .subject import Subject


def percent(error: float | None) -> float:
    return 100 * (error or 0.0)


def learning_curves(subjects: Sequence[Subject]) -> Result:
    """Train and test error of every network by epoch (He et al. 2015, fig. 6: dashed and solid there)."""
    series, last = [], []
    for subject in subjects:
        rows = subject.run.metrics
        epochs = tuple(r.epoch for r in rows)
        series.append(Series(f"{subject.name}, test", epochs, tuple(percent(r.test_error) for r in rows)))
        series.append(Series(f"{subject.name}, train", epochs, tuple(percent(r.train_error) for r in rows), style="dashed"))
        last.append(f"{subject.name} {percent(rows[-1].train_error):.2f} / {percent(rows[-1].test_error):.2f} %")
    residual, plain = (s.run.metrics[-1] for s in subjects[:2])
    return Result(
        "learning curves",
        "How the networks learned",
        f"Train / test error at the end: {'; '.join(last)}.",
        Claim(
            "A deep plain network is harder to optimise than its residual twin: higher training error (He et al. 2015).",
            "fig. 6: plain networks of 56 layers have higher training error than of 20; residual ones lower",
            f"training error {percent(plain.train_error):.2f} % plain, {percent(residual.train_error):.2f} % residual",
            "reproduced" if percent(plain.train_error) > percent(residual.train_error) else "not reproduced",
            "higher training error of the plain twin at the end, one seed each",
        ),
        Figure("epoch", "error (%)", tuple(series)),
        n=f"one run each, seed {subjects[0].run.recipe.seed}",
    )


def first_layer_gradient(subjects: Sequence[Subject]) -> Result:
    """Mean absolute gradient of the first unit's first convolution, by epoch (Huang et al. 2016, fig. 7)."""
    series, ends = [], []
    for subject in subjects:
        rows = [r for r in subject.run.metrics if r.watched_gradient]
        if rows:
            values = tuple(r.watched_gradient for r in rows)
            series.append(Series(subject.name, tuple(r.epoch for r in rows), values))
            ends.append(f"{subject.name} {values[0]:.2e} to {values[-1]:.2e}")
    return Result(
        "first-layer gradient",
        "Gradient that reaches the first unit during training",
        f"Mean absolute gradient of the first unit's first convolution, first to last epoch: {'; '.join(ends)}.",
        Claim(
            "How much gradient arrives at the far end of the network while it trains.",
            "Huang et al. 2016, fig. 7, for other networks: no common scale",
            "; ".join(ends),
            "measured",
        ),
        Figure("epoch", "mean |gradient|", tuple(series), log_y=True),
        n="mean over the steps of each epoch, batches as trained",
    )


def responses(subjects: Sequence[Subject], examples: int = 500) -> Result:
    """Standard deviation of every layer's response, in layer order (He et al. 2015, fig. 7)."""
    series, medians = [], {}
    for subject in subjects[:2]:
        found = layer_responses(subject.network, subject.test.spread(examples).inputs)
        values = [r.std for r in found]
        medians[subject.name] = sorted(values)[len(values) // 2]
        labels = tuple(f"{r.name}: {r.std:.3f}" for r in found)
        series.append(Series(subject.name, tuple(range(1, len(values) + 1)), tuple(values), labels=labels))
    (residual, small), (plain, large) = list(medians.items())
    return Result(
        "layer responses",
        "How much every layer changes the signal",
        f"The median layer response is {small:.3f} in {residual} and {large:.3f} in {plain}.",
        Claim(
            "Residual networks have generally smaller layer responses than plain ones (He et al. 2015, fig. 7).",
            "smaller in residual networks, post-activation, CIFAR-10 (read off the figure)",
            f"median {small:.3f} residual, {large:.3f} plain",
            "reproduced" if small < large else "not reproduced",
            "a smaller median in the residual network; pre-activation units here, so a branch's last convolution is "
            "measured without normalisation behind it",
        ),
        Figure("layer (3x3 convolutions, in signal order)", "standard deviation of the response", tuple(series)),
        n=f"{min(examples, len(subjects[0].test.targets))} test pictures",
    )
