"""An epoch: how many steps it has, which examples they see, and how each is cropped."""

from torch import Tensor

from ..data.augment import crops_and_flips, crops_and_flips_of_batches, order
from ..data.crops import draws_of_crops, require_large_enough
from ..data.images import Dataset, require_even
from ..errors import UsageError
from .recipe import Recipe


def require_data(data: Dataset, recipe: Recipe, processes: int = 1) -> None:
    """Before any work: UsageError or DataError where the recipe cannot be followed on the data."""
    require_large_enough(data.train, recipe.crop)
    require_large_enough(data.test, recipe.crop)
    steps_per_epoch(data.name, len(data.train), recipe, processes)
    require_even(data.train, recipe.validation)


def steps_per_epoch(data: str, size: int, recipe: Recipe, processes: int = 1) -> int:
    """With a training part of `size` images, of the data set that is called `data`.

    Images held out for validation are not trained on. A last batch too small for batch statistics
    (2 examples on every rank) is left out, where the recipe does not drop it anyway.

    UsageError: too few examples, in all or in a batch, for that many processes; a batch of more.
    """
    if size <= recipe.validation:
        few = f"{size} training images are too few to hold out {recipe.validation} for validation"
        raise UsageError(f"{data}: {few}, as the recipe {recipe.name} does. Take another recipe")
    least, size = 2 * processes, size - recipe.validation
    if recipe.batch_size < least:
        small = f"too small for {processes} processes, at least 2 each"
        raise UsageError(f"batch_size {recipe.batch_size}: {small}")
    if size < least:
        raise UsageError(f"{data}: {size} training images are too few for {processes} processes")
    if recipe.batch_size > size:
        large = f"larger than the training part of {data}, {size} images"
        advice = f"Give more images, or train with --batch-size {max(least, size // 4)}"
        raise UsageError(f"batch_size {recipe.batch_size}: {large}. {advice}")
    whole, rest = divmod(size, recipe.batch_size)
    return whole + (rest >= least and recipe.partial_batches == "kept")


def draw_epoch(recipe: Recipe, epoch: int, size: int) -> tuple[Tensor, Tensor | None]:
    """The examples in their order, (size,), and beside each its crop and flip, (size, 3)."""
    seed, augmentation, again = recipe.seed, recipe.augmentation, recipe.sampling == "replacement"
    indices = order(seed, epoch, size, again)
    if recipe.crop is not None:
        draws = draws_of_crops(seed, epoch, size)
        return indices, draws if again else draws[indices]
    if augmentation is None:
        return indices, None
    if augmentation.per == "batch":
        batch = recipe.batch_size
        return indices, crops_and_flips_of_batches(augmentation, seed, epoch, size, batch)
    draws = crops_and_flips(augmentation, seed, epoch, size)
    return indices, draws if again else draws[indices]  # who comes twice is cropped anew
