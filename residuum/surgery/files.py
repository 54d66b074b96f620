"""Models in files for others: `.pt2` (torch.export), ONNX, a folder of transformers. Each is read
again and run before it is kept."""

from __future__ import annotations

import inspect
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, ResourceError, UsageError, out_of_memory
from ..storage import make_folder, sha256, write_bytes
from ..views.edits import at_rest, device_of
from ..views.export import of_two, said, without_cache
from ..views.inputs import changed, count, tensors, to_device
from ..views.trace import results, untouched
from .graph import exported

TOLERANCE = 1e-4  # of the largest output: other orders of summing round otherwise
BATCHES = (1, 2, 5)


@dataclass(frozen=True)
class Written:
    """A file or a folder that was written. `difference`: the largest between what it gives and what
    the model gives, over the model's largest output; `batches`: on how many examples at once."""

    file: str
    sha256: str
    difference: float
    batches: tuple[int, ...]


Given = tuple[tuple[Any, ...], Mapping[str, Any]]


def write_program(model: nn.Module, file: str | Path, *inputs: Any, **keywords: Any) -> Written:
    """The model as `.pt2`: what it computes in evaluation mode, with its weights, without its code.

    For C++, other runtimes and PyTorch without the model's library. It holds no pickle of ours, but
    torch.export's own format: load it only where you trust its source.

    UsageError: another suffix, a file that exists, a model that cannot be followed.
    CheckpointError: what was written gives something else; nothing is kept.
    """
    path = _new(file, ".pt2")
    given = (of_two(inputs), of_two(keywords))
    buffer = io.BytesIO()
    with quietly():
        torch.export.save(exported(model, *given), buffer)
        data = buffer.getvalue()
        loaded = torch.export.load(io.BytesIO(data)).module(check_guards=False)

    def run(inputs: tuple[Any, ...], keywords: Mapping[str, Any]) -> list[Tensor]:
        inputs, keywords = to_device((inputs, dict(keywords)), device_of(model))
        with torch.no_grad():
            return [tensor.cpu() for tensor in results(loaded(*inputs, **keywords))]

    found = compared(model, run, given, str(path))
    return _written(path, data, found)


def write_onnx(model: nn.Module, file: str | Path, *inputs: Any, **keywords: Any) -> Written:
    """The model as ONNX, for any number of examples at once; checked with onnxruntime at 1, 2, 5.

    UsageError: another suffix, a file that exists, onnx or onnxruntime not installed, a model that
    cannot be followed. CheckpointError: an export that gives something else, or that takes no other
    number of examples; nothing is kept.
    """
    path = _new(file, ".onnx")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        missing = f"{error.name} is not installed: pip install 'residuum[export]'"
        raise UsageError(f"{path}: {missing}") from error
    given = (of_two(inputs), of_two(_in_order(model, keywords)))
    data = _onnx(model, given, path)
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, quiet, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(inputs: tuple[Any, ...], keywords: Mapping[str, Any]) -> list[Tensor]:
        fed = [tensor.numpy() for tensor in tensors((inputs, dict(keywords)))]
        if len(fed) != len(names):
            raise ValueError(f"it takes {len(names)} tensors ({', '.join(names)}), not {len(fed)}")
        return [torch.as_tensor(x) for x in session.run(None, dict(zip(names, fed, strict=True)))]

    return _written(path, data, compared(model, run, given, str(path)))


def _onnx(model: nn.Module, given: Given, path: Path) -> bytes:
    program = exported(model, *given)
    try:
        with quietly():
            made = torch.onnx.export(program, dynamo=True, verbose=False)
        assert made is not None
        return made.model_proto.SerializeToString()
    except Exception as error:
        if out_of_memory(error) or "2GiB" in str(error) or "2GB" in str(error):
            raise ResourceError(f"{path}: too large for one ONNX file ({error})") from error
        raise UsageError(
            f"{path}: ONNX cannot say what {type(model).__name__} does: {said(error)}"
        ) from error


def write_folder(model: nn.Module, folder: str | Path, *inputs: Any, **keywords: Any) -> Written:
    """A model of transformers as a folder that `from_pretrained` loads: where whole layers were
    removed, the configuration counts those that are left.

    UsageError: no model of transformers (a graph of operations is none: keep it as .pt2); a folder
    that is not empty. CheckpointError: what is loaded from it gives something else.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: is there already. Choose another folder")
    if not (hasattr(model, "save_pretrained") and hasattr(type(model), "from_pretrained")):
        raise UsageError(
            f"{type(model).__name__} is no model of transformers. Remove units that fill whole "
            "layers (both units of a transformer's block), or write .pt2"
        )
    with tempfile.TemporaryDirectory() as between, quietly():
        try:
            model.save_pretrained(between)  # type: ignore[operator]
            loaded: nn.Module = type(model).from_pretrained(between).eval()  # type: ignore[attr-defined]
        except Exception as error:
            raise CheckpointError(f"{target}: cannot be loaded again ({said(error)})") from error
        given = (inputs, keywords)
        found = compared(model, lambda a, k: _answers(loaded, a, k), given, str(target))
        files = {file.name: file.read_bytes() for file in sorted(Path(between).iterdir())}
    for name, data in files.items():
        write_bytes(make_folder(target), name, data)
    together = sha256("".join(sha256(data) for data in files.values()).encode())
    return Written(str(target), together, found, BATCHES)


@contextmanager
def quietly() -> Iterator[None]:
    """What libraries log, warn of and print while they write is not for the user: the result is
    checked."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _in_order(model: nn.Module, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """As the model's forward names them, which is the order of an exported graph's inputs."""
    order = list(inspect.signature(model.forward).parameters)
    place = {name: number for number, name in enumerate(order)}
    return dict(sorted(keywords.items(), key=lambda item: place.get(item[0], len(place))))


# ---- what was written against the model ----


def compared(
    model: nn.Module,
    run: Callable[[tuple[Any, ...], Mapping[str, Any]], list[Tensor]],
    given: Given,
    where: str,
) -> float:
    """The largest difference over the largest output, on batches of other sizes and values.

    CheckpointError: a difference that is no rounding, or a batch that it does not take.
    """
    worst, limit = 0.0, TOLERANCE
    for size in BATCHES:
        inputs, keywords = _batch(given, size)
        try:
            expected = _answers(model, inputs, keywords)
            found = run(inputs, keywords)
        except Exception as error:
            raise CheckpointError(
                f"{where}: does not run on {size} examples at once ({said(error)}). Nothing was "
                "written"
            ) from error
        if [tuple(t.shape) for t in found] != [tuple(t.shape) for t in expected]:
            raise CheckpointError(f"{where}: outputs of other shapes. Nothing was written")
        for ours, theirs in zip(expected, found, strict=True):
            worst = max(worst, _difference(ours, theirs))
            if ours.is_floating_point():
                limit = max(limit, 8 * torch.finfo(ours.dtype).eps)  # of half precision
    if not worst <= limit:
        differ = f"its outputs differ from the model's by {worst:.2g} of the largest"
        raise CheckpointError(f"{where}: {differ}. Nothing was written")
    return worst


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """Over our largest value; infinite where integers, or what is not finite, are not the same."""
    theirs = theirs.to(ours.dtype)
    if not ours.is_floating_point() or not ours.numel():
        return 0.0 if torch.equal(ours, theirs) else float("inf")
    here, there = torch.isfinite(ours), torch.isfinite(theirs)
    same = torch.equal(ours[~here].nan_to_num(), theirs[~here].nan_to_num())
    if not (torch.equal(here, there) and same):
        return float("inf")
    distance = torch.where(here, ours.double() - theirs.double(), 0).abs().max()
    largest = torch.where(here, ours.double(), 0).abs().max()
    return float(distance / largest.clamp_min(1e-30))


def _batch(given: Given, size: int) -> Given:
    """So many examples: those given, in turn, with noise on those that are no integers."""
    count(given)  # type: ignore[arg-type]
    source = torch.Generator().manual_seed(size)

    def more(tensor: Tensor) -> Tensor:
        taken = tensor.detach().cpu()[torch.arange(size) % len(tensor)]
        noise = torch.randn(taken.shape, generator=source)
        return taken + noise.to(taken.dtype) if taken.is_floating_point() else taken

    return changed(given, more)


def _answers(
    model: nn.Module, inputs: tuple[Any, ...], keywords: Mapping[str, Any]
) -> list[Tensor]:
    inputs, keywords = to_device((inputs, dict(keywords)), device_of(model))
    with torch.no_grad(), at_rest(model), untouched(model), without_cache(model):
        return [tensor.detach().cpu() for tensor in results(model(*inputs, **keywords))]


# ---- paths ----


def _new(file: str | Path, suffix: str) -> Path:
    path = Path(file)
    if path.suffix != suffix:
        raise UsageError(f"{path}: say NAME{suffix}")
    if path.exists():
        raise UsageError(f"{path}: is there already. Choose another name")
    return path


def _written(path: Path, data: bytes, difference: float) -> Written:
    write_bytes(make_folder(path.parent), path.name, data)
    return Written(str(path), sha256(data), difference, BATCHES)
