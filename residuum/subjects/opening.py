"""A model from a word with examples of its data: the subject of a dissection."""

from pathlib import Path

import torch
from torch import Tensor, fx, nn

from ..anatomy.deletions import Examples
from ..errors import DataError, NumericError, UsageError, kind_and_line, out_of_memory
from ..task import NextToken, logits
from ..views import View
from ..views.inputs import Inputs, call, changed, take, tensors
from .asked import Measuring, Source
from .images import dataset, examples, is_text, named, normaliser_of, outputs, require_images
from .models import as_inputs, build, require_options, seen
from .origins import Origin, origin
from .pruned import labels
from .subject import Subject
from .text import text
from .trained import open_trained

TRAINING = 1000


def open_subject(
    word: str | Path,
    measuring: Measuring = Measuring(),
    source: Source = Source(),
    device: str = "cpu",
    training: int | None = None,
) -> Subject:
    """The model that the word names, with examples of its data: what dissections are done to.

    Images are normalised as the model's published weights ask, a run's as it was trained, others by
    the channels of the training part. A text is cut into sequences, judged by `NextToken`.
    `training`: how many training examples are held; by default as many as `measuring.examples`
    says, else at most 1,000; 0 for none.

    Raises what `open_model` raises. DataError: missing or broken data; data of another kind than
    the model reads; other classes than it tells apart.
    """
    start = origin(word)
    training = (measuring.examples or TRAINING) if training is None else training
    if start.run is not None:
        return _of_run(start, measuring, source, device, training)
    if start.reads == "image" or (start.reads is None and not _text_said(source)):
        return _of_images(start, measuring, source, device, training)
    return _of_text(start, measuring, source, device, training)


def _of_run(
    start: Origin, measuring: Measuring, source: Source, device: str, training: int
) -> Subject:
    assert start.run is not None
    require_options(start, measuring)
    _require_no_length(start, measuring)
    require_images(source, start.name)
    run = start.run
    run.outcome  # noqa: B018 - raises where it is unfinished, before data are read
    if source.data is None and run.data.name != "digits":
        advice = "Say with --data where these images are"
        raise UsageError(f"{run.folder}: trained on {run.data.name}. {advice}")
    trained = open_trained(run, source.load(), device)
    n = _counted(measuring.examples, len(trained.data.test), trained.data.name)
    test = Examples(*trained.test(n))
    train = Examples(*trained.train(training))
    told = {"model": trained.name, "run": str(run.folder), "data": trained.data.name}
    told |= {"weights": f"of the run, sha256 {run.outcome.weights.sha256}"}
    told |= {
        "recipe": run.recipe.name,
        "seed": str(run.recipe.seed),
        "data sha256": trained.data.describe().digest,
    }
    told |= labels(trained.data.classes, trained.normaliser)
    view = _view(start.name, trained.network, test.inputs)
    return Subject(start.name, view, trained.data.name, "image", train, test, told)


def _of_images(
    start: Origin, measuring: Measuring, source: Source, device: str, training: int
) -> Subject:
    _require_no_length(start, measuring)
    data, size = dataset(source, start)
    n = _counted(measuring.examples, len(data.test), data.name)
    classes, side = measuring.classes or len(data.classes), size or data.size
    model, weights = build(start, measuring, classes, side)
    normaliser, normalised = normaliser_of(start, data)
    places = torch.tensor(outputs(start.labels, data.classes))
    counts = training, n
    parts = [
        Examples(as_inputs(start, model, x), places[labels])
        for part, count in zip((data.train, data.test), counts, strict=True)
        for x, labels in [examples(part, normaliser, count, size)]
    ]
    model = model.to(device)
    view = _view(start.name, model, parts[1].inputs)
    _require_classes(start.name, model, parts[1].inputs, len(data.classes), measuring.classes)
    told = {"model": start.name, "source": start.source, "weights": weights, "data": data.name}
    told |= {"data sha256": data.describe().digest, "normalisation": normalised}
    told |= {"image size": str(side)} | labels(data.classes, normaliser)
    return Subject(start.name, view, data.name, "image", parts[0], parts[1], told)


def _of_text(
    start: Origin, measuring: Measuring, source: Source, device: str, training: int
) -> Subject:
    model, weights = build(start, measuring, None, None)
    found = text(source, start, model, measuring.length)
    n = _counted(measuring.examples, len(found.test), found.name, "sequence")
    counts = training, n
    parts = [
        Examples(as_inputs(start, model, part), part, NextToken()).spread(count)
        for part, count in zip((found.train, found.test), counts, strict=True)
    ]
    model = model.to(device)
    view = _view(start.name, model, parts[1].inputs)
    _require_causal(start.name, model, parts[1].inputs)
    told = {"model": start.name, "source": start.source, "weights": weights, "data": found.name}
    told |= {"data sha256": found.digest, "tokens": found.tokens}
    told |= {"length": str(found.test.shape[1])}
    return Subject(start.name, view, found.name, "sequence", parts[0], parts[1], told)


def _text_said(source: Source) -> bool:
    return not named(source) and is_text(Path(source.data or ""))


def _require_no_length(start: Origin, measuring: Measuring) -> None:
    if measuring.length is not None:
        raise UsageError(f"length is of tokens, and {start.name} reads images. Leave it out")


def _counted(asked: int | None, there: int, name: str, what: str = "image") -> int | None:
    if asked is not None and asked > there:
        of = f"{name} has {there} test {what}s"
        raise UsageError(f"{of}, not {asked}. Leave --examples out to take all")
    return asked


def _view(name: str, model: nn.Module, inputs: Inputs) -> View:
    """UsageError: the model fails on the data, in its own words."""
    two = take(inputs, slice(0, 2))
    try:
        with torch.no_grad():
            call(model, two)
    except Exception as error:
        if out_of_memory(error):
            raise
        shape = "x".join(map(str, tensors(two)[0].shape[1:]))
        advice = "Another --image-size or --length may fit"
        raise UsageError(
            f"{name} fails on these examples ({shape}): {kind_and_line(error)}. {advice}"
        ) from error
    _require_batches(name, model, inputs)
    return seen(model, two)


def _require_batches(name: str, model: nn.Module, inputs: Inputs) -> None:
    """UsageError: a graph of operations that was exported for other numbers of examples."""
    if not any(isinstance(part, fx.GraphModule) for part in model.modules()):
        return
    for many in (1, 3):
        try:
            with torch.no_grad():
                call(model, take(inputs, slice(many)))
        except (AssertionError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            what = f"takes no batch of {many}: {kind_and_line(error)}"
            advice = "Export it for any number of examples (dynamic_shapes)"
            raise UsageError(f"{name} {what}. {advice}") from error


def _require_classes(
    name: str, model: nn.Module, inputs: Inputs, there: int, asked: int | None
) -> None:
    """DataError: it tells fewer classes apart than the data have, or more and nobody said so."""
    answer = _answer(model, take(inputs, slice(0, 1)))
    if answer.ndim != 2:
        shape = tuple(answer.shape)
        raise UsageError(f"{name} gives {shape} for an image, and one number a class is needed")
    own = answer.shape[1]
    if asked not in (None, own):
        raise UsageError(f"classes: {name} tells {own} apart, not {asked}")
    if own < there or (own > there and asked != own):
        more = (
            f". Say --classes {own} if class k of the data is its output k" if own > there else ""
        )
        raise DataError(f"{name} tells {own} classes apart, and the data have {there}{more}")


def _require_causal(name: str, model: nn.Module, inputs: Inputs) -> None:
    """UsageError: what stands behind a token changes the answer there, so that predicting the next
    one is reading it."""
    one = take(inputs, slice(0, 1))
    tokens = tensors(one)[0]
    base = _answer(model, one)
    if base.ndim != 3 or base.shape[:2] != tokens.shape:
        shape = tuple(base.shape)
        raise UsageError(f"{name} gives {shape} for {tokens.shape[1]} tokens: no answer a token")
    half = tokens.shape[1] // 2
    other = tokens.clone()
    other[:, half:] = torch.where(other[:, half:] > 0, other[:, half:] - 1, other[:, half:] + 1)
    again = _answer(model, one, other)
    rounding = max(1e-5, 8 * torch.finfo(next(model.parameters()).dtype).eps)
    if not torch.allclose(base[:, :half], again[:, :half], 0, rounding * float(base.abs().max())):
        raise UsageError(
            f"{name} sees the tokens behind the one that answers (masked language models do), so "
            "its next-token loss would mean nothing"
        )


def _answer(model: nn.Module, inputs: Inputs, tokens: Tensor | None = None) -> Tensor:
    given = inputs if tokens is None else changed(inputs, lambda _: tokens)
    with torch.no_grad():
        found = logits(call(model, given))
    kind = type(model).__name__
    if not found.is_floating_point():
        raise UsageError(f"{kind} answers in {found.dtype}, and logits are floating-point numbers")
    if found.isnan().any():
        raise NumericError(f"{kind} answers with NaN on these examples, so nothing can be measured")
    return found.float().cpu()
