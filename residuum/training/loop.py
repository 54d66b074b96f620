"""The training loop: a module, a data set and a recipe in, a run folder out. It knows no network and no study."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import progress
from ..data import Dataset
from ..data.augment import Pixels, order, statistics
from ..errors import CheckpointError, Interrupted, NumericError, ResourceError, UsageError
from .checkpoint import Checkpoint, load_weights, require_finite
from .distributed import Team
from .recipe import Machine, Recipe

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}
EVALUATION_BATCH = 500  # fixed: logits may differ in the last bit between batch sizes


class Trainer:
    """One training run in memory. `step` counts finished steps; everything else about randomness follows from it."""

    def __init__(
        self, network: nn.Module, data: Dataset, recipe: Recipe, machine: Machine, team: Team, watch: str | None = None
    ):
        """`watch` names the parameter whose mean absolute gradient is recorded (Huang et al. 2016, fig. 7)."""
        self.recipe, self.machine, self.team = recipe, machine, team
        self.network = network.to(team.device).to(memory_format=torch.channels_last)
        self.watched = None if watch is None else dict(network.named_parameters())[watch]
        mean, std = statistics(data.train, recipe.normalisation)
        pad = recipe.augmentation.pad if recipe.augmentation else 0
        self.train_pixels = Pixels(data.train, mean, std, pad, team.device)
        self.test_pixels = Pixels(data.test, mean, std, 0, team.device)
        self.size = len(data.train)
        if recipe.batch_size < 2 * team.size:
            raise UsageError(f"batch_size {recipe.batch_size} is too small for {team.size} processes: at least 2 each")
        if self.size < 2 * team.size:
            raise UsageError(f"{data.name}: {self.size} training pictures are too few for {team.size} processes")
        whole, rest = divmod(self.size, recipe.batch_size)
        self.steps_per_epoch = whole + (rest >= 2 * team.size)  # batch statistics need 2 examples on every rank
        self.total_steps = recipe.iterations(recipe.length, self.steps_per_epoch)
        self.optimiser = torch.optim.SGD(
            parameter_groups(network, recipe),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
        )
        self.scaler = torch.amp.GradScaler(team.device.split(":")[0], enabled=machine.precision == "float16")
        self.wrapped = team.wrap(self.network)
        self.compiled = torch.compile(self.wrapped) if machine.compile else self.wrapped
        self.step, self.metrics = 0, list[dict[str, Any]]()
        # this rank's sums over the epoch so far: loss, right answers, mean |gradient| of the watched parameter
        self.sums = torch.zeros(3, dtype=team.sums, device=team.device)
        self._drawn: tuple[int, Tensor, Tensor | None] | None = None

    # ---- one step ----

    def batch(self) -> tuple[Tensor, Tensor]:
        """This rank's part of the batch that belongs to `step`."""
        epoch, at = divmod(self.step, self.steps_per_epoch)
        if self._drawn is None or self._drawn[0] != epoch:
            seed, augmentation = self.recipe.seed, self.recipe.augmentation
            draws = augmentation.draw(seed, epoch, self.size) if augmentation else None
            self._drawn = (epoch, order(seed, epoch, self.size), draws)
        _, indices, draws = self._drawn
        mine = self.team.share(indices[at * self.recipe.batch_size : (at + 1) * self.recipe.batch_size])
        return self.train_pixels.batch(mine, None if draws is None else draws[mine])

    def advance(self) -> None:
        """One step of SGD: loss over the global batch, gradients averaged over the team, the rate of this step."""
        self.compiled.train()
        images, labels = self.batch()
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate_at(self.step, self.steps_per_epoch)
        at = self.step % self.steps_per_epoch
        whole = min(self.recipe.batch_size, self.size - at * self.recipe.batch_size)
        with self.autocast():
            logits = self.compiled(images)
            loss = F.cross_entropy(logits.float(), labels, reduction="sum")
        # DDP averages over ranks; scaled so, the average is the mean over the global batch, also when uneven
        self.scaler.scale(loss * (self.team.size / whole)).backward()
        self.sums[0] += loss.detach()
        self.sums[1] += (logits.argmax(1) == labels).sum()
        if self.watched is not None and self.watched.grad is not None:
            scale = self.scaler.get_scale() if self.scaler.is_enabled() else 1.0
            self.sums[2] += self.watched.grad.abs().mean() / scale
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1

    def check_due(self) -> bool:
        """Whether this step looks at its numbers: always on a CPU, else seldom, since a look waits for the device."""
        return self.team.device == "cpu" or self.step % 20 == 0 or self.step % self.steps_per_epoch == 0

    def blown_up(self) -> bool:
        return not math.isfinite(self.sums[0].item())

    def autocast(self) -> Any:
        kind = self.team.device.split(":")[0]
        precision = PRECISIONS.get(self.machine.precision)
        return torch.autocast(kind, precision) if precision else nullcontext()

    # ---- an epoch's end ----

    @torch.no_grad()
    def evaluate(self) -> dict[str, Any]:
        """Loss and error on the test part: sums over disjoint shares, reduced, then divided."""
        self.team.share_buffers(self.network)
        self.network.eval()
        sums = torch.zeros(3, dtype=self.team.sums, device=self.team.device)
        for part in torch.arange(len(self.test_pixels)).split(EVALUATION_BATCH):
            mine = self.team.share(part)
            if len(mine):
                images, labels = self.test_pixels.batch(mine)
                with self.autocast():
                    logits = self.network(images).float()
                loss = F.cross_entropy(logits, labels, reduction="sum")
                right = (logits.argmax(1) == labels).sum()
                sums += torch.stack(
                    [part.to(self.team.sums) for part in (loss, right, torch.tensor(len(mine), device=loss.device))]
                )
        loss, right, seen = self.team.total(sums).tolist()
        return {"test_loss": loss / seen, "test_error": 1 - right / seen, "test_n": int(seen)}

    def close_epoch(self) -> dict[str, Any]:
        """The epoch's row of the metrics; without clock times, so that it is the same after a resume."""
        loss, right, gradient = self.team.total(self.sums.clone()).tolist()
        steps = (self.step - 1) % self.steps_per_epoch + 1
        seen = min(steps * self.recipe.batch_size, self.size)
        row = {
            "epoch": math.ceil(self.step / self.steps_per_epoch),
            "step": self.step,
            "learning_rate": self.recipe.learning_rate_at(self.step - 1, self.steps_per_epoch),
            "train_loss": loss / seen,
            "train_error": 1 - right / seen,
            **self.evaluate(),
        }
        if self.watched is not None:
            row["watched_gradient"] = gradient / steps / self.team.size
        self.metrics.append(row)
        self.sums.zero_()
        return row

    # ---- state ----

    def checkpoint(self) -> Checkpoint:
        """All that the next step depends on. NumericError where a weight or statistic is not finite."""
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            momentum = self.optimiser.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum
        require_finite(tensors, f"step {self.step}", NumericError)
        state = {"step": self.step, "sums": self.team.gather(self.sums), "metrics": self.metrics}
        if self.scaler.is_enabled():
            state["scaler"] = self.scaler.state_dict()
        return Checkpoint(tensors, state)

    def restore(self, checkpoint: Checkpoint, where: str) -> None:
        """Go on from there. CheckpointError where it belongs to another network."""
        weights = {n.removeprefix("network."): t for n, t in checkpoint.tensors.items() if n.startswith("network.")}
        load_weights(self.network, weights, where)
        for name, parameter in self.network.named_parameters():
            momentum = checkpoint.tensors.get(f"momentum.{name}")
            if momentum is not None:
                self.optimiser.state[parameter]["momentum_buffer"] = momentum.to(parameter)
        state: Mapping[str, Any] = checkpoint.state
        try:
            self.step, self.metrics = int(state["step"]), list(state["metrics"])
            sums = torch.tensor(state["sums"], dtype=torch.float64)
            if len(sums) != self.team.size:  # another number of processes: the totals go to the first
                sums = torch.cat([sums.sum(0, keepdim=True), torch.zeros(self.team.size - 1, 3, dtype=torch.float64)])
            self.sums.copy_(sums[self.team.rank])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{where}: the state beside the tensors is incomplete ({error})") from error
        if "scaler" in state:
            self.scaler.load_state_dict(dict(state["scaler"]))


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Which parameters decay: all of them, or only the weights of convolutions and linear layers (ndim > 1)."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    if recipe.decay == "all":
        return [{"params": parameters, "weight_decay": recipe.weight_decay}]
    weights = [p for p in parameters if p.ndim > 1]
    rest = [p for p in parameters if p.ndim <= 1]
    return [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]


@dataclass
class Signals:
    """SIGINT and SIGTERM ask for a stop after the current step; a second SIGINT stops at once."""

    received: int = 0
    _old: dict[int, Any] = field(default_factory=dict)

    def _handle(self, number: int, frame: object) -> None:
        if self.received == signal.SIGINT == number:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        self.received = number
        progress.say(f"stopping after this step (signal {number}); once more to stop at once")

    @contextmanager
    def caught(self) -> Iterator["Signals"]:
        import threading

        numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        try:
            self._old = {n: signal.signal(n, self._handle) for n in numbers}
            yield self
        finally:
            for number, old in self._old.items():
                signal.signal(number, old)


def drive(trainer: Trainer, save: Callable[[Checkpoint], None], title: str) -> None:
    """Steps until the recipe's end, saving at every epoch's end and every `save_seconds` between.

    `save` stores; only rank 0 is asked to. Interrupted after a signal, NumericError when the training has blown up
    (the last good checkpoint stays), ResourceError when there is no memory or disk left.
    """
    team, last_save = trainer.team, time.monotonic()
    with Signals().caught() as signals, progress.bar(title, trainer.total_steps, trainer.step) as advance:
        note = ""
        while trainer.step < trainer.total_steps:
            try:
                trainer.advance()
            except torch.OutOfMemoryError as error:
                half = trainer.recipe.batch_size // 2
                raise ResourceError(f"no memory for this step. Try --batch-size {half}. ({error})") from error
            epoch_ends = trainer.step % trainer.steps_per_epoch == 0 or trainer.step == trainer.total_steps
            stop = due = False
            if epoch_ends or trainer.check_due():
                overdue = time.monotonic() - last_save >= trainer.machine.save_seconds
                stop, due, blown = team.agree(bool(signals.received), overdue, trainer.blown_up())
                if blown:
                    raise NumericError(_explosion(trainer, title))
            if epoch_ends:
                row = trainer.close_epoch()
                note = f"test error {100 * row['test_error']:.2f} %"
                if team.leads:
                    progress.say_plain(
                        f"{title}: epoch {row['epoch']}, train loss {row['train_loss']:.4f}, "
                        f"train error {100 * row['train_error']:.2f} %, {note}"
                    )
            advance(1, note)
            if epoch_ends or stop or due:
                checkpoint = trainer.checkpoint()
                if team.leads:
                    save(checkpoint)
                last_save = time.monotonic()
            if stop and trainer.step < trainer.total_steps:
                number = signals.received or int(signal.SIGTERM)
                raise Interrupted(f"{title}: stopped at step {trainer.step} and saved; run it again to go on", number)


def _explosion(trainer: Trainer, title: str) -> str:
    step = trainer.step - 1
    rate, epoch = trainer.recipe.learning_rate_at(step, trainer.steps_per_epoch), step // trainer.steps_per_epoch
    return (
        f"{title}: the loss is no longer finite at step {step} (epoch {epoch}, learning rate {rate:g}). "
        "The last good checkpoint is kept; try a smaller --learning-rate or a warm-up"
    )
