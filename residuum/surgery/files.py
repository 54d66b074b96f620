"""Models in files for others: `.pt2` (torch.export), ONNX, a folder of transformers. Each is read
again and run before it is kept, and says what it was made of."""

from __future__ import annotations

import inspect
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..errors import (
    ExportError,
    NumericError,
    ResiduumError,
    ResourceError,
    UsageError,
    first_line,
    out_of_memory,
)
from ..storage import (
    make_folder,
    new_folder,
    remove_folder,
    require_new_folder,
    sha256,
    write_bytes,
    write_text,
)
from ..views.edits import device_of
from ..views.export import module_of, of_two
from ..views.inputs import tensors, to_device
from ..views.trace import results
from .checking import BATCHES, Apart, Given, compared
from .conditions import About, described, itself, require_new_file, require_one_file
from .graph import exported
from .locating import first_apart
from .rejected import beside, rejected
from .running import outputs

ABOUT = "about.json"  # what .pt2 and a folder say of themselves
OPERATIONS = {"aten", "prim", "prims", "higher_order"}  # what torch itself brings


@dataclass(frozen=True)
class Written:
    """A file or a folder that was written. `difference`: the largest between what it gives and what
    the model gives, over the model's largest output; `batches`: on how many examples at once."""

    file: str
    sha256: str
    difference: float
    batches: tuple[int, ...]


def write_program(
    model: nn.Module, file: str | Path, *inputs: Any, about: About | None = None, **keywords: Any
) -> Written:
    """The model as `.pt2`: what it computes in evaluation mode, with its weights, without its code.

    For C++, other runtimes and PyTorch without the model's library. It holds no pickle of ours, but
    torch.export's own format: load it only where you trust its source. `about` stands in it as the
    extra file about.json, with the digest of the weights.

    UsageError: another suffix, a file that exists, a model with hooks or a lesion in place, or that
    gives no tensor. ExportError: a model that cannot be followed, that calls operations which only
    its own library has, or that the file does not compute: it is then kept as NAME.pt2.rejected.
    NumericError: the model gives nothing finite.
    """
    path = require_new_file(file, ".pt2")
    model = itself(model)
    given = (of_two(inputs), of_two(keywords))
    buffer, extra = io.BytesIO(), {ABOUT: json.dumps(described(model, about))}
    program = exported(model, *given)
    _require_torchs(program, path)
    with quietly():
        try:
            torch.export.save(program, buffer, extra_files=extra)
            data = buffer.getvalue()
            loaded = module_of(torch.export.load(io.BytesIO(data)))
        except Exception as error:
            if out_of_memory(error):
                raise
            if "JSON compliant" in str(error):  # which older versions of torch write it as
                said = f"{path}: a constant is not finite ({first_line(error)})"
                raise NumericError(said) from error
            raise ExportError(
                f"{path}: torch.export cannot keep it ({first_line(error)})"
            ) from error

    def run(inputs: tuple[Any, ...], keywords: Mapping[str, Any]) -> list[Tensor]:
        inputs, keywords = to_device((inputs, dict(keywords)), device_of(model))
        with torch.no_grad():
            return results(loaded(*inputs, **keywords))

    return _written(path, data, lambda: compared(model, run, given, str(path)))


def _require_torchs(program: torch.export.ExportedProgram, path: Path) -> None:
    calls = [n.target for n in program.graph.nodes if isinstance(n.target, torch._ops.OpOverload)]
    for operation in calls:
        if operation.namespace not in OPERATIONS:
            raise ExportError(
                f"{path}: the model calls {operation}, which torch itself does not have: nobody "
                "could load the file without the library that brings it"
            )


def write_onnx(
    model: nn.Module, file: str | Path, *inputs: Any, about: About | None = None, **keywords: Any
) -> Written:
    """The model as ONNX, for any number of examples at once; checked with onnxruntime at 1, 2, 5.

    `about` stands in its `metadata_props`, with the digest of the weights. Weights stand in the
    file itself, never beside it.

    UsageError: another suffix, a file that exists, onnx or onnxruntime not installed, a model with
    hooks or a lesion in place. ResourceError: more weights than one file takes. ExportError: a
    model that cannot be followed or takes no other number of examples; what ONNX or onnxruntime
    cannot say; a file that gives something else (the first and the worst layer are named), which is
    kept as NAME.onnx.rejected.
    """
    path = require_new_file(file, ".onnx")
    model = itself(model)
    require_one_file(model, path)
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        missing = f"{error.name} is not installed: pip install 'residuum[export]'"
        raise UsageError(f"{path}: {missing}") from error
    given = (of_two(inputs), of_two(_in_order(model, keywords)))
    program = exported(model, *given)
    proto = _onnx(program, type(model).__name__, path)
    for key, value in described(model, about).items():
        proto.metadata_props.add(key=key, value=value)
    data = proto.SerializeToString()
    session = _session(data, path)
    names = [each.name for each in session.get_inputs()]

    def run(inputs: tuple[Any, ...], keywords: Mapping[str, Any]) -> list[Tensor]:
        fed = [tensor.numpy() for tensor in tensors((inputs, dict(keywords)))]
        if len(fed) != len(names):
            raise ValueError(f"it takes {len(names)} tensors ({', '.join(names)}), not {len(fed)}")
        return [torch.as_tensor(x) for x in session.run(None, dict(zip(names, fed, strict=True)))]

    def locate(given: Given, limit: float) -> str:
        return first_apart(program, proto, given, limit)

    return _written(path, data, lambda: compared(model, run, given, str(path), locate))


def _session(data: bytes, path: Path) -> Any:
    import onnxruntime

    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(data, quiet, providers=["CPUExecutionProvider"])
    except Exception as error:
        if out_of_memory(error):
            raise
        raise ExportError(f"{path}: onnxruntime cannot run it ({first_line(error)})") from error


def _onnx(program: torch.export.ExportedProgram, name: str, path: Path) -> Any:
    try:
        with quietly():
            made = torch.onnx.export(program, dynamo=True, verbose=False)
        assert made is not None
        proto = made.model_proto
    except Exception as error:
        if out_of_memory(error) or "2GiB" in str(error) or "2GB" in str(error):
            raise ResourceError(f"{path}: too large for one ONNX file ({error})") from error
        reason = error.__cause__ or error  # what it says first is where it stopped
        raise ExportError(
            f"{path}: ONNX cannot say what {name} does: {first_line(reason)}"
        ) from error
    if any(t.external_data for t in proto.graph.initializer):
        raise ResourceError(f"{path}: weights would stand in other files beside it")
    return proto


def write_folder(
    model: nn.Module, folder: str | Path, *inputs: Any, about: About | None = None, **keywords: Any
) -> Written:
    """A model of transformers as a folder that `from_pretrained` loads: where whole layers were
    removed, the configuration counts those that are left. It appears whole or not at all; `about`
    stands in about.json, with the digest of the weights.

    UsageError: no model of transformers (a graph of operations is none: keep it as .pt2), one with
    hooks or a lesion in place, a folder that is not empty. ExportError: nothing can be loaded from
    it, or what gives something else: it is then kept as NAME.rejected.
    """
    target = Path(folder)
    require_new_folder(target)
    model = itself(model)
    if not (hasattr(model, "save_pretrained") and hasattr(type(model), "from_pretrained")):
        graph = "removal made it a graph of operations" if isinstance(model, fx.GraphModule) else ""
        raise UsageError(
            f"{type(model).__name__} is no model of transformers{graph and f' ({graph})'}. Remove "
            "units that fill whole layers (both units of a transformer's block), or write .pt2"
        )
    given, said = (inputs, keywords), json.dumps(described(model, about), indent=1) + "\n"
    try:
        with new_folder(target) as between:
            loaded = _saved(model, between, target)
            found = compared(model, lambda a, k: outputs(loaded, a, k), given, str(target))
            _require_same(model, loaded, target)
            write_text(between, ABOUT, said)
            digests = [sha256(file.read_bytes()) for file in sorted(between.iterdir())]
    except Apart as error:
        place = beside(target)

        def keep() -> None:
            if (place / ABOUT).exists():  # one of ours, of an earlier time
                remove_folder(place)
            with new_folder(place) as between:
                _saved(model, between, target)
                write_text(between, ABOUT, said)

        raise rejected(error, place, keep) from error
    return Written(str(target), sha256("".join(digests).encode()), found, BATCHES)


def _saved(model: Any, folder: Path, target: Path) -> nn.Module:
    """The model as it is loaded from the folder that it was saved in."""
    try:
        with quietly():
            model.save_pretrained(folder)
            loaded: nn.Module = type(model).from_pretrained(folder).eval()
    except (ResiduumError, OSError, MemoryError):
        raise
    except Exception as error:
        raise ExportError(f"{target}: cannot be loaded again ({first_line(error)})") from error
    return loaded


def _require_same(model: nn.Module, loaded: nn.Module, target: Path) -> None:
    """ExportError: other weights. The library draws those that it does not find, which the answers
    to a few examples need not show."""
    ours, again = model.state_dict(), loaded.state_dict()
    apart = sorted(ours.keys() ^ again.keys())
    apart += [n for n in ours.keys() & again.keys() if not torch.equal(ours[n].cpu(), again[n])]
    if apart:
        what = f"{type(model).__name__} is built otherwise by its configuration"
        raise ExportError(f"{target}: {what} (first {apart[0]})")


@contextmanager
def quietly() -> Iterator[None]:
    """What libraries log, warn of and print while they write is not for the user: the result is
    checked."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        nowhere = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _in_order(model: nn.Module, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """As the model's forward names them, which is the order of an exported graph's inputs."""
    order = list(inspect.signature(model.forward).parameters)
    place = {name: number for number, name in enumerate(order)}
    return dict(sorted(keywords.items(), key=lambda item: place.get(item[0], len(place))))


def _written(path: Path, data: bytes, compare: Callable[[], float]) -> Written:
    def write(place: Path) -> None:
        write_bytes(make_folder(place.parent), place.name, data)

    try:
        difference = compare()
    except Apart as error:
        place = beside(path)
        raise rejected(error, place, lambda: write(place)) from error
    write(path)
    return Written(str(path), sha256(data), difference, BATCHES)
