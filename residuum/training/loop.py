"""The training loop: a module, a data set and a recipe, step by step. It knows no network."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data import Dataset
from ..data.augment import Pixels, generator
from ..data.crops import pixels_of
from ..data.images import hold_out
from ..data.normalise import fit
from ..errors import CheckpointError, NumericError, UsageError, nearest
from ..machine import Machine
from ..networks.weights import load_weights, require_finite
from ..parts.wrappers import Drawn, Settled
from ..task import Classification
from .checkpoint import Checkpoint, State
from .distributed import Team
from .epoch import draw_epoch, steps_per_epoch
from .evaluation import Row, Scores, evaluate
from .memory import recall, remember
from .optimisers import parameter_groups
from .randomness import drawing
from .recipe import Recipe
from .schemes import Plain, Scheme
from .schemes.scheme import ADDED, Losses


class Trainer:
    """One run in memory. `step` counts finished steps; all randomness follows from it."""

    def __init__(
        self,
        network: nn.Module,
        data: Dataset,
        recipe: Recipe,
        machine: Machine,
        team: Team,
        scheme: Scheme | None = None,
        watch: str | None = None,
    ):
        """`watch` names a parameter whose mean |gradient| is recorded (Huang et al. 2016, fig. 7).

        UsageError: too few examples for a step on every rank, or no parameter of that name.
        """
        self.recipe, self.machine, self.team = recipe, machine, team
        self.scheme: Scheme = _scheme(recipe, scheme)
        self.drawn = [m for m in network.modules() if isinstance(m, Drawn)]
        self.droppable = list({p for part in self.drawn for p in part.parameters()})
        self.settled = [m for m in network.modules() if isinstance(m, Settled)]
        self.network = network.to(team.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.watched = None if watch is None else _parameter(network, watch)
        train, held_out = hold_out(data.train, recipe.validation)
        normaliser, device = fit(train, recipe.normalisation), team.device
        crop = recipe.crop
        self.train_pixels = pixels_of(train, normaliser, device, recipe.augmentation, crop)
        self.test_pixels = pixels_of(data.test, normaliser, device, crop=crop)
        self.validation_pixels = None
        if held_out is not None:
            self.validation_pixels = pixels_of(held_out, normaliser, device, crop=crop)
        self.size = len(train)
        self.steps_per_epoch = steps_per_epoch(data.name, len(data.train), recipe, team.size)
        self.total_steps = recipe.iterations(recipe.length, self.steps_per_epoch)
        self.step, self.metrics = 0, list[Row]()
        self._drawn: tuple[int, Tensor, Tensor | None] | None = None
        self._extend()
        groups = parameter_groups(network, recipe)
        self.optimiser = recipe.optimiser.build(groups, recipe.learning_rate)
        half = machine.precision == "float16"
        self.scaler = torch.amp.GradScaler(team.device.split(":")[0], enabled=half)  # type: ignore[attr-defined]
        compiled = self._compiled() if machine.compile else self.network
        unused = bool(self.drawn) or not isinstance(self.scheme, Plain)
        self.losses = team.wrap(Losses(compiled, self.scheme), unused)
        # this rank's sums over the epoch so far: loss, right answers, |gradient| of what is watched
        self.sums = torch.zeros(3, dtype=team.sums, device=team.device)
        self.judged = True  # whether all answers of the epoch so far were right or wrong

    def _extend(self) -> None:
        """What the scheme adds, under one name."""
        if hasattr(self.network, ADDED):
            raise UsageError(f"a network to be trained has no part of the name {ADDED!r}")
        with drawing(self.team.device, self.recipe.seed, "extend"):
            added = self.scheme.extend(self.network, self.batch)
        if added is not None:
            self.network.add_module(ADDED, added.to(self.team.device))

    def _compiled(self) -> nn.Module:
        """Road by road where the network draws which of them are there: each way through it would
        be a graph of its own."""
        if not self.drawn:
            return torch.compile(self.network)  # type: ignore[return-value]
        for part in self.drawn:
            part.road.compile()
        return self.network

    def batch(self) -> tuple[Tensor, Tensor]:
        """This rank's part of the batch that belongs to `step`."""
        epoch, at = divmod(self.step, self.steps_per_epoch)
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = (epoch, *draw_epoch(self.recipe, epoch, self.size))
        _, indices, draws = self._drawn
        here = slice(at * self.recipe.batch_size, (at + 1) * self.recipe.batch_size)
        share = self.team.share
        drawn = None if draws is None else share(draws[here])
        return self.train_pixels.batch(share(indices[here]), drawn)

    def prepare(self) -> None:
        """What the scheme does before the first step."""
        with drawing(self.team.device, self.recipe.seed, "prepare"):
            self.scheme.prepare(self.network, self.batch())
        # each rank prepared with its own part of the batch
        self.team.align([*self.network.parameters(), *self.network.buffers()])

    def advance(self) -> None:
        """One step: gradients of the global batch's mean loss, the rate of this step."""
        seed, team = self.recipe.seed, self.team
        self.losses.train()
        rate = self.recipe.learning_rate_at(self.step, self.steps_per_epoch)
        time = self.step / self.recipe.iterations(1, self.steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["rate_factor"]
        again = self.recipe.restarts_at(self.step, self.steps_per_epoch)
        if again or self.scheme.restarts(time):
            self.optimiser.state.clear()
        at = self.step % self.steps_per_epoch
        whole = min(self.recipe.batch_size, self.size - at * self.recipe.batch_size)
        inputs, targets = self.batch()
        source = generator(seed, "draw", self.step)
        for part in self.drawn:
            part.draw(source)
        self.scheme.draw(self.network, source)
        with drawing(team.device, seed, "step", self.step, team.rank):
            with self.autocast():
                losses, right = self.losses(inputs, targets, time)
            loss = losses.sum()
            # DDP averages over ranks: so scaled, it is the mean over the batch, uneven shares too
            self.scaler.scale(loss * (team.size / whole)).backward()
            for parameter in self.droppable:  # left out of a step they decay all the same
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            self._add_up(loss.detach(), right)
            if self.recipe.limits.gradient is not None:
                self.scaler.unscale_(self.optimiser)
                self.recipe.limits.clamp(self.network)
            self.scaler.step(self.optimiser)
            self.scaler.update()
            self.recipe.limits.project(self.network)
            self.optimiser.zero_grad()
            for part in self.settled:
                part.settle()
            self.scheme.settle(self.network)
        self.step += 1

    def leave(self) -> None:
        """What was drawn for the last step and what the scheme added do not outlive the run."""
        for part in self.drawn:
            part.drawn = None
        if hasattr(self.network, ADDED):
            delattr(self.network, ADDED)

    def _add_up(self, loss: Tensor, right: Tensor | None) -> None:
        self.judged = self.judged and right is not None
        self.sums[0] += loss
        if right is not None:
            self.sums[1] += right.sum()
        if self.watched is not None and self.watched.grad is not None:
            mean = self.watched.grad.abs().mean()
            if self.scaler.is_enabled():  # it skips steps whose gradient is not finite
                mean = (mean / self.scaler.get_scale()).nan_to_num(0, 0, 0)
            self.sums[2] += mean

    def check_due(self) -> bool:
        """Whether this step looks at its numbers: always on a CPU; elsewhere seldom, it waits."""
        seldom = self.step % 20 == 0 or self.step % self.steps_per_epoch == 0
        return seldom or self.team.device == "cpu"

    def running_loss(self) -> float:
        """Mean loss of this rank's examples over the epoch so far. Waits for the device."""
        steps = (self.step - 1) % self.steps_per_epoch + 1
        seen = min(steps * self.recipe.batch_size, self.size)
        return self.sums[0].item() * self.team.size / seen

    def autocast(self) -> AbstractContextManager[object]:
        """The machine's precision, for a forward pass."""
        if self.machine.precision == "float32":
            return nullcontext()
        kind = self.team.device.split(":")[0]
        return torch.autocast(kind, getattr(torch, self.machine.precision))

    # ---- an epoch's end ----

    def evaluate(self, pixels: Pixels | None = None) -> Scores:
        """On the test part (or `pixels`), in float32 whatever the precision, as `eval` does."""
        key = (self.recipe.seed, "evaluate", self.step, self.team.rank)
        with drawing(self.team.device, *key):
            part = self.test_pixels if pixels is None else pixels
            return evaluate(self.network, part, self.scheme.task, self.team)

    def close_epoch(self) -> Row:
        """The epoch's row of the metrics; the sums begin anew."""
        loss, right, gradient = self.team.total(self.sums.clone()).tolist()
        steps = (self.step - 1) % self.steps_per_epoch + 1
        seen = min(steps * self.recipe.batch_size, self.size)
        test, held_out = self.evaluate(), self.validation_pixels
        row = Row(
            epoch=math.ceil(self.step / self.steps_per_epoch),
            step=self.step,
            learning_rate=self.recipe.learning_rate_at(self.step - 1, self.steps_per_epoch),
            train_loss=loss / seen,
            train_error=1 - right / seen if self.judged else None,
            test_loss=test.loss,
            test_error=test.error,
            test_n=test.n,
            watched_gradient=None if self.watched is None else gradient / steps / self.team.size,
            validation_error=None if held_out is None else self.evaluate(held_out).error,
        )
        self.metrics.append(row)
        self.sums.zero_()
        self.judged = True
        return row

    # ---- state ----

    def checkpoint(self) -> Checkpoint:
        """All that the next step depends on. NumericError: a weight or statistic is not finite."""
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        buffers, numbers = remember(self.optimiser, self.network)
        tensors |= {f"optimiser.{name}": tensor for name, tensor in buffers.items()}
        require_finite(tensors, f"step {self.step}", NumericError)
        scaler = self.scaler.state_dict() if self.scaler.is_enabled() else {}
        sums = tuple(map(tuple, self.team.gather(self.sums)))
        return Checkpoint(tensors, State(self.step, sums, tuple(self.metrics), numbers, scaler))

    def restore(self, checkpoint: Checkpoint, where: str) -> None:
        """Go on from there. CheckpointError where it belongs to another network or optimiser."""
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "optimiser": {}}
        for name, tensor in checkpoint.tensors.items():
            part, _, rest = name.partition(".")
            if part not in parts:
                raise CheckpointError(f"{where}: tensor {name} is neither network nor optimiser")
            parts[part][rest] = tensor
        state = checkpoint.state
        if any(len(row) != len(self.sums) for row in state.sums or [()]):
            raise CheckpointError(f"{where}: the sums beside the tensors are incomplete")
        load_weights(self.network, parts["network"], where)
        recall(self.optimiser, self.network, parts["optimiser"], state.optimiser)
        self.step, self.metrics = state.step, list(state.metrics)
        sums = torch.tensor(state.sums, dtype=torch.float64)
        if len(sums) != self.team.size:  # another number of processes: the totals go to the first
            sums = F.pad(sums.sum(0, keepdim=True), (0, 0, 0, self.team.size - 1))
        self.sums.copy_(sums[self.team.rank])
        if state.scaler:
            self.scaler.load_state_dict(dict(state.scaler))


def _scheme(recipe: Recipe, scheme: Scheme | None) -> Scheme:
    """The one given, or the recipe's, or the plain loop."""
    found = scheme or recipe.scheme
    if found and recipe.label_smoothing:
        raise UsageError("label_smoothing belongs to the scheme's task where a scheme is given")
    return found or Plain(Classification(recipe.label_smoothing))


def _parameter(network: nn.Module, name: str) -> Tensor:
    if name in (parameters := dict(network.named_parameters())):
        return parameters[name]
    raise UsageError(f"no parameter {name!r} to watch.{nearest(name, parameters)}")
