"""`module.path:function`: a model that a function of the user's own gives."""

import inspect
import re
import sys
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import UsageError, first_line, nearest
from .origins import WORDS, Origin

CLASSES = 10  # where neither data nor a user say how many
NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def function_of(word: str) -> Origin:
    """The module is imported from the current directory or the environment, which runs its code:
    such a word is taken from a command line, never from a file. The function is called without
    arguments, or with `classes` where it takes that.

    UsageError: no such word, module or function; one that fails, asks for more arguments, or gives
    no module of PyTorch.
    """
    if not NAME.fullmatch(word):
        raise UsageError(f"{word!r} names no model. Say {WORDS}")
    function = _function(word)
    takes = _arguments(function, word)

    def make(classes: int | None, size: int | None) -> nn.Module:
        words: dict[str, int] = {}
        if "classes" in takes and (classes is not None or takes["classes"]):
            words = {"classes": CLASSES if classes is None else classes}
        try:
            with _from_here():
                found = function(**words)
        except (Exception, SystemExit) as error:
            raise UsageError(f"{word} fails: {first_line(error)}") from error
        if not isinstance(found, nn.Module):
            raise UsageError(
                f"{word} gives a {type(found).__name__}; it must give a torch.nn.Module"
            )
        if isinstance(found, torch.jit.ScriptModule):
            raise UsageError(f"{word} gives TorchScript: give the nn.Module that it was made of")
        return found

    return Origin(word, f"the function {word}", make)


def _function(word: str) -> Callable[..., Any]:
    path, _, name = word.partition(":")
    try:
        with _from_here():
            module = import_module(path)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{path}.".startswith(f"{error.name}."):
            missing = f"no module {error.name!r} here or in the environment"
            raise UsageError(f"{word}: {missing}. Say {WORDS}") from error
        raise UsageError(f"{word}: {path} fails: {first_line(error)}") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"{word}: {path} fails: {first_line(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        there = [n for n, value in vars(module).items() if callable(value) and n[0] != "_"]
        what = "no function" if function is None else f"a {type(function).__name__}, no function,"
        raise UsageError(f"{word}: {path} has {what} {name!r}.{nearest(name, there)}")
    return function


def _arguments(function: Callable[..., Any], word: str) -> dict[str, bool]:
    """By name, whether it must be given. UsageError: others than `classes` without a default."""
    try:
        arguments = inspect.signature(function).parameters
    except ValueError:  # of compiled code
        return {}
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [
        name
        for name, argument in arguments.items()
        if argument.default is inspect.Parameter.empty and argument.kind not in variable
    ]
    if set(needed) - {"classes"}:
        asks = ", ".join(name for name in needed if name != "classes")
        raise UsageError(f"{word} asks for {asks}: it is called without arguments, or with classes")
    return {name: name in needed for name in arguments}


@contextmanager
def _from_here():
    """Modules of the current directory are found first, as `python -m` finds them."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
