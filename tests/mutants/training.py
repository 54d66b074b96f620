"""Lines of training, and the networks."""

from .mutant import Mutant

BOOSTING = "tests/test_boosting.py"
IDENTITY = "tests/test_identity.py"
MACHINE = "tests/test_machine.py"
NAMED = "tests/test_named_schemes.py"
NETWORKS = "tests/test_networks.py"
PRESETS = "tests/laws/test_presets.py"
READER = "tests/test_reader.py"
RESUME = "tests/laws/test_resume.py"
TRAINING = "tests/test_training.py"
UNITS = "tests/test_units.py"
MUTANTS = [
    # ---- training ----
    Mutant("training/narrow.py", "max(part.stride) > 1", "max(part.stride) > 2", TRAINING),
    Mutant("training/randomness.py", "generator.manual_seed(seed)", "pass", RESUME),
    Mutant("training/randomness.py", "generator.set_state(state)", "pass", f"{RESUME} {TRAINING}"),
    Mutant(
        "training/loop.py",
        'drawing(team.device, seed, "step", self.step, team.rank)',
        "drawing(team.device, seed)",
        f"{RESUME} {TRAINING}",
    ),
    Mutant("training/memory.py", "optimiser.state[parameter][key] = value", "pass", RESUME),
    Mutant(
        "training/loop.py", "self.sums.copy_(sums[self.team.rank])", "pass", f"{RESUME} {TRAINING}"
    ),
    Mutant(
        "training/schedules.py",
        "factor ** sum(step >= milestone",
        "factor ** sum(step > milestone",
        TRAINING,
    ),
    Mutant(
        "training/schedules.py",
        "passed = sum(step >= milestone",
        "passed = sum(step > milestone",
        "tests/test_recipes.py",
    ),
    # ---- a step ----
    Mutant("views/in_place.py", "and places[id(r)] == 1", "", MACHINE),
    Mutant("views/in_place.py", "if type(module) not in OURS:", "if False:", MACHINE),
    Mutant("views/in_place.py", "return not unit.plain or (", "return True or (", MACHINE),
    Mutant("machine.py", "(-1, 2**31 - 1), (-3, 2**25)", "", MACHINE),
    Mutant("training/drive.py", "if not math.isfinite(row.test_loss):", "if False:", MACHINE),
    Mutant(
        "training/description.py",
        'for same in ("keeps_memory", "recompute")',
        'for same in ("recompute",)',
        MACHINE,
    ),
    Mutant(
        "training/loop.py",
        "self.team.align([*self.network.parameters(), *self.network.buffers()])",
        "pass",
        "tests/test_ranks.py",
    ),
    # ---- schemes ----
    Mutant("views/in_place.py", "roads[0] is not None and roads[1] is not None", "True", MACHINE),
    Mutant("training/schemes/lsuv.py", "layer.weight /= variance**0.5", "pass", NAMED),
    Mutant("training/schemes/taught.py", "time < self.hints.hint_length", "False", NAMED),
    Mutant("training/schemes/hints.py", "0 < time == self.hint_length", "False", NAMED),
    Mutant("training/schemes/companions.py", "part.active = time < self.length", "pass", NAMED),
    Mutant("training/recipe.py", '.pop("teacher", None)', '.pop("", None)', NAMED),
    Mutant("training/votes.py", "- self.alpha * self.answers", "", BOOSTING),
    Mutant("training/votes.py", "- known) / (1 - known)", ") / (1 - known)", BOOSTING),
    Mutant("training/boosting.py", "signal.shape != before", "False", BOOSTING),
    # ---- identity ----
    Mutant(
        "training/recipe.py", 'if k not in ("name", "source")', 'if k not in ("name",)', IDENTITY
    ),
    Mutant(
        "training/description.py",
        "if fingerprint.digest(network) != recorded:",
        "if not recorded:",
        IDENTITY,
    ),
    Mutant("training/description.py", "    if changed:\n", "    if changed is None:\n", IDENTITY),
    Mutant(
        "networks/fingerprint.py",
        'getattr(kind, "version", 1) if _home(kind) == "residuum" else 1',
        "1",
        IDENTITY,
    ),
    # ---- reader ----
    Mutant("reader.py", '_refuse_unknown(value, built, "$", where, wrong)', "pass", READER),
    Mutant(
        "reader.py",
        "if found != schema or isinstance(found, bool):",
        "if found is None:",
        f"{READER} {TRAINING} tests/test_study.py",
    ),
    # ---- presets ----
    Mutant(
        "networks/stages.py",
        "stride = stage_stride if u == 0 else 1",
        "stride = stage_stride",
        PRESETS,
    ),
    Mutant(
        "networks/stages.py",
        '"shared" if place.number == 0 or projects else "own"',
        '"shared" if place.number == 0 else "own"',
        f"{UNITS} {PRESETS}",
    ),
    Mutant(
        "networks/cost.py",
        "units=sum(map(cache(_innermost), network.units))",
        "units=sum(map(_innermost, {*network.units}))",
        PRESETS,
    ),
    # ---- the networks of the literature ----
    Mutant(
        "networks/ror.py",
        "bare = ResidualUnit(last.branch, last.shortcut, None, last.before, last.merge)",
        "bare = last",
        f"{NETWORKS} -k levels",
    ),
    Mutant(
        "networks/ror.py",
        "middle = (len(standing) + 1) // 2",
        "middle = 1",
        f"{NETWORKS} -k levels",
    ),
    Mutant(
        "parts/shortcuts.py",
        "self.road(x[:, : x.shape[1] // 2])",
        "self.road(x[:, x.shape[1] // 2 :])",
        f"{NETWORKS} -k streams",
    ),
    Mutant("parts/activations.py", "self.a[self.a >= 2] = 1.99", "pass", f"{NETWORKS} -k pelu"),
    Mutant(
        "parts/wrappers.py",
        "(1 - torch.sigmoid(self.transform(x))) * carried",
        "torch.sigmoid(self.transform(x)) * carried",
        f"{NETWORKS} -k shortcut_type",
    ),
    Mutant(
        "parts/merges.py",
        "nn.init.constant_(self.bias, self.start)",
        "nn.init.zeros_(self.bias)",
        f"{NETWORKS} -k gates_start",
    ),
    Mutant(
        "networks/stochastic.py",
        "1 - place.number / max(place.total - 1, 1)",
        "1 - (place.number + 1) / place.total",
        f"{NETWORKS} -k swapout",
    ),
    Mutant(
        "parts/branches.py",
        "groups * (width * base_width // 64)",
        "groups * base_width",
        f"{NETWORKS} -k grouped_blocks",
    ),
    Mutant(
        "networks/cost.py",
        "own = (module.before, module.merge, module.after)",
        "own = (module.before, module.merge)",
        f"{PRESETS} -k rir18",
    ),
]
