"""eval: the test error of finished runs, alone or together, looking at each image once or often."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import progress
from ..anatomy.statistics import Rate
from ..errors import UsageError
from ..machine import Hardware
from .requests import Looking, Source, verb

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import Dataset
    from ..subjects.trained import Trained
    from ..training import Run
    from ..training.testing import Looks


@dataclass(frozen=True)
class Member:
    """One run of several, on its own."""

    run: str
    network: str
    error: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Evaluation:
    """Error on the test part, as a fraction, with Wilson's 95 % interval.

    `looks`: how often each image was seen; empty where once, as it is. `members`: of an ensemble,
    whose probabilities were averaged; `run` and `network` then name them all.
    """

    run: str
    network: str
    data: str
    error: float
    interval: tuple[float, float]
    n: int
    looks: str = ""
    members: tuple[Member, ...] = ()


@verb
def evaluate(
    run: str | Path,
    *others: str | Path,
    looking: Looking = Looking(),
    source: Source = Source(),
    machine: Hardware = Hardware(),
) -> Evaluation:
    """Test error of a finished run, with its interval, in full precision; of several, together.

    Several runs are an ensemble: their probabilities are averaged, and the error of each is told.
    So are those of ten crops, or of several sizes.

    CheckpointError: unfinished, damaged, or no run. DataError: data that do not fit. UsageError: a
    run given twice, a size that the network cannot take.

    Parameters
    ----------
    run
        The run's folder.
    others
        More runs on the same data.
    """
    runs = [finished(folder) for folder in (run, *others)]
    folders = [found.folder.resolve() for found in runs]
    if len(set(folders)) < len(folders):
        twice = next(f for f in folders if folders.count(f) > 1)
        raise UsageError(f"{twice}: given twice; an ensemble is of different runs")
    data, machine = loaded(runs, source), prepared(machine)
    members, total, said, labels = list[Member](), 0.0, "", data.test.labels
    for found in runs:
        subject, mean, said = _seen(found, data, machine, looking)
        rate = Rate(int((mean.argmax(1) != labels).sum()), len(labels))
        members.append(Member(found.folder.name, subject.name, rate.value, rate.interval))
        total = mean + total
    rate = Rate(int((total.argmax(1) != labels).sum()), len(labels))  # type: ignore[union-attr]
    return Evaluation(
        run=", ".join(member.run for member in members),
        network=", ".join(dict.fromkeys(member.network for member in members)),
        data=data.name,
        error=rate.value,
        interval=rate.interval,
        n=rate.n,
        looks=said,
        members=tuple(members) if len(members) > 1 else (),
    )


def finished(folder: str | Path) -> "Run":
    """CheckpointError: unfinished, damaged, or no run; told before data are read."""
    from ..training import Run

    opened = Run.open(folder)
    opened.outcome  # noqa: B018 - raises where it is unfinished
    return opened


def loaded(runs: "list[Run]", source: Source) -> "Dataset":
    """The data that the runs are measured on. UsageError: not the digits, and none were said."""
    for run in runs:
        if source.data is None and run.data.name != "digits":
            advice = "Say with --data where these images are"
            raise UsageError(f"{run.folder}: trained on {run.data.name}. {advice}")
    return source.load()


def prepared(machine: Hardware) -> Hardware:
    """The machine that is here, set up."""
    machine = machine.resolved()
    machine.prepare()
    return machine


def _seen(
    run: "Run", data: "Dataset", machine: Hardware, looking: Looking
) -> "tuple[Trained, Tensor, str]":
    """The run with its probabilities on the test part, and in words how it looked."""
    from ..subjects.trained import open_trained
    from ..training.testing import noisy_probabilities, probabilities

    subject = open_trained(run, data, machine.device)
    images, _ = subject.test()
    looks, said = _looks(subject, looking)
    if looking.samples is None:
        return subject, probabilities(subject.network, images, looks), said
    found = noisy_probabilities(subject.network, images, looking.samples, run.recipe.seed, looks)
    noisy = f"mean of {looking.samples} noisy passes"
    return subject, found, ", ".join(filter(None, (said, noisy)))


def _looks(subject: "Trained", looking: Looking) -> "tuple[Looks, str]":
    """UsageError: crops larger than the images or all the same, a size that does not pass."""
    from ..training.testing import AS_THEY_ARE, at_sizes, ten_crops

    if looking.scales is not None:
        for size in looking.scales:
            _require_taken(subject, size)
        sizes = ", ".join(map(str, looking.scales))
        return at_sizes(looking.scales), f"mean over images of {sizes} pixels"
    if looking.crops is None:
        return AS_THEY_ARE, ""
    side, augmentation = min(subject.data.test.pixels.shape[1:3]), subject.run.recipe.augmentation
    size = looking.crop_size or side
    if size > side:
        raise UsageError(f"crops of {size} pixels are larger than the images, {side} pixels")
    pad = augmentation.pad if augmentation and size == side else 0
    if size == side and not pad:
        whole = f"crops of {size} pixels are the whole image: training padded by none"
        raise UsageError(f"{whole}. Say a smaller --crop-size")
    _require_taken(subject, size)
    if augmentation is None or not augmentation.flip:
        unseen = "was trained without mirrored images, and half of the crops are mirrored"
        progress.say(f"warning: {subject.run.folder} {unseen}")
    padded = f" of images padded by {pad}" if pad else ""
    return ten_crops(size, pad), f"mean over ten crops of {size} pixels{padded}"


def _require_taken(subject: "Trained", size: int) -> None:
    """UsageError: images of this size do not pass, or not all of their pixels count."""
    from ..networks.sizes import require_size
    from ..presets import find

    name, built_for = subject.name, subject.data.size
    if size != built_for and not name.startswith("tv:") and "size" in find(name).options:
        raise UsageError(f"{name} was built for {built_for}x{built_for} pixels and takes no {size}")
    require_size(subject.network, (size, size), name)
