"""From the first step to the last: when to look, when to save, when to stop."""

import math
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack

import torch

from .. import progress
from ..errors import Interrupted, NumericError, ResourceError
from ..views.in_place import in_place
from ..views.recompute import recomputed
from .checkpoint import Checkpoint
from .distributed import Team
from .evaluation import Row
from .loop import Trainer
from .precise import take_statistics
from .schemes import Plain
from .schemes.named import Named
from .signals import caught


def drive(trainer: Trainer, save: Callable[[Checkpoint], None], title: str) -> None:
    """Steps until the recipe's end, saving at every epoch's end and every `save_seconds` between.

    `save` stores; only rank 0 is asked to. Interrupted after a signal, NumericError when a loss is
    not finite (the last good checkpoint stays), ResourceError: no memory or disk is left.
    """
    team, total, last_save = trainer.team, trainer.total_steps, time.monotonic()
    with ExitStack() as stack:
        signals = stack.enter_context(caught())
        advance = stack.enter_context(progress.bar(title, total, trainer.step))
        shown = tested = ""
        if trainer.step == 0:
            trainer.prepare()
        scheme = trainer.scheme
        if type(scheme) is Plain or isinstance(scheme, Named):  # another may keep what parts give
            stack.enter_context(in_place(trainer.network))
        if trainer.machine.recompute:
            stack.enter_context(recomputed(trainer.network))
        while trainer.step < total:
            _step(trainer)
            epoch_ends = trainer.step % trainer.steps_per_epoch == 0 or trainer.step == total
            stop = due = False
            if epoch_ends or trainer.check_due():
                overdue = time.monotonic() - last_save >= trainer.machine.save_seconds
                loss = trainer.running_loss()
                asked = bool(signals.received), overdue, not math.isfinite(loss)
                stop, due, wrong = team.agree(*asked)
                if wrong:
                    raise _explosion(trainer, f"{title}: the loss")
                shown = f"loss {loss:.3f}"
            if epoch_ends:
                take_statistics(trainer)
                row = trainer.close_epoch()
                if not math.isfinite(row.test_loss):
                    raise _explosion(trainer, f"{title}: the test loss")
                tested = _tell(row, title, team)
            advance(1, shown + tested)
            if epoch_ends or stop or due:
                checkpoint = trainer.checkpoint()
                if team.leads:
                    save(checkpoint)
                last_save = time.monotonic()
            if stop and trainer.step < total:
                stopped = f"stopped at step {trainer.step} and saved; run it again to go on"
                raise Interrupted(f"{title}: {stopped}", signals.received or signal.SIGTERM)


def _step(trainer: Trainer) -> None:
    try:
        trainer.advance()
    except torch.OutOfMemoryError as error:
        advice = f"Try --batch-size {trainer.recipe.batch_size // 2}. ({error})"
        raise ResourceError(f"no memory for this step. {advice}") from error


def _tell(row: Row, title: str, team: Team) -> str:
    """A line for a person; gives the short form for the bar."""
    errors = (row.train_error, row.test_error)
    train, test = ("no error" if e is None else f"error {100 * e:.2f} %" for e in errors)
    loss = f"{title}: epoch {row.epoch}, train loss {row.train_loss:.4f}"
    if team.leads:
        progress.say_plain(f"{loss}, train {train}, test {test}")
    return f", test {test}"


def _explosion(trainer: Trainer, what: str) -> NumericError:
    step, per_epoch = trainer.step - 1, trainer.steps_per_epoch
    rate = trainer.recipe.learning_rate_at(step, per_epoch)
    place = f"step {step} (epoch {step // per_epoch}, learning rate {rate:g})"
    advice = "The last good checkpoint is kept; try a smaller --learning-rate or a warm-up"
    return NumericError(f"{what} is no longer finite at {place}. {advice}")
