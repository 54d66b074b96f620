"""Taking models apart: what to delete, reorder and follow.

Stands on views and knows no network by name.

Names load when they are used: `anatomy.statistics` and `anatomy.measures`, the values that are
measured, need no torch.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from ..views import at_rest, replace, unravel
    from .betting import DecidedDeletion
    from .comparisons import Effect, Interaction
    from .deletions import Examples, delete, delete_each, delete_random
    from .early import delete_each_early
    from .gates import GateStatistics, gate_statistics
    from .gradients import gradient_by_length, sampled_paths, signed_sweep
    from .measures import Deletion, PathGradients, Reordering, Response
    from .paths import Paths, count_paths, polynomial
    from .predicting import agreement, cheap_scores
    from .ranks import Agreement, Joint
    from .reorder import reorder_random, shapes
    from .responses import layer_responses
    from .resume import SweepLog
    from .scoring import effects, interactions, scores
    from .similarity import Redundancy, cka, redundancy
    from .splitting import path_gradients
    from .stream import contributions, decomposition, lens
    from .sweeps import sweep
    from .taps import Activation, activations
    from .variants import applied, intact, reordered, without

__getattr__, __dir__ = lazy(
    __name__,
    {
        "..views": "at_rest replace unravel",
        ".taps": "Activation activations",
        ".ranks": "Agreement Joint",
        ".betting": "DecidedDeletion",
        ".comparisons": "Effect Interaction",
        ".deletions": "Examples delete delete_each delete_random",
        ".early": "delete_each_early",
        ".gates": "GateStatistics gate_statistics",
        ".gradients": "gradient_by_length sampled_paths signed_sweep",
        ".measures": "Deletion PathGradients Reordering Response",
        ".paths": "Paths count_paths polynomial",
        ".predicting": "agreement cheap_scores",
        ".reorder": "reorder_random shapes",
        ".resume": "SweepLog",
        ".responses": "layer_responses",
        ".scoring": "effects interactions scores",
        ".similarity": "Redundancy cka redundancy",
        ".splitting": "path_gradients",
        ".stream": "contributions decomposition lens",
        ".sweeps": "sweep",
        ".variants": "applied intact reordered without",
    },
)
