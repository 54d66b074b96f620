"""`make mutants`: break one line at a time and see a test fail.

A mutant that survives names a hole in the tests.

    python tests/mutants.py [WORD ...]     only those whose file or line holds one of the words

Each mutant is (file, the text as it stands, the text broken, the tests that must notice). It is
applied to a copy of the project; the text must stand there exactly once, so that the list cannot
rot in silence.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
WORKERS = 2
SECONDS = 300


class Mutant(NamedTuple):
    file: str
    old: str
    new: str
    tests: str


EARLY = "tests/test_early.py"
LAWS, UNITS, PATHS = (
    "tests/laws/test_anatomy.py tests/laws/test_gradients.py",
    "tests/test_units.py",
    "tests/test_paths.py",
)
MODEL, STORED = "tests/faults/test_model.py", "tests/faults/test_checkpoint.py"
RESUME, TRAINING, IDENTITY = (
    "tests/laws/test_resume.py",
    "tests/test_training.py",
    "tests/test_identity.py",
)
MACHINE = "tests/test_machine.py"
NAMED, BOOSTING = "tests/test_named_schemes.py", "tests/test_boosting.py"
READER, PRESETS = "tests/test_reader.py", "tests/laws/test_presets.py"
SPLITTING, MEASURES = "tests/laws/test_splitting.py", "tests/test_measures.py"
MERGES = "parts/merges.py"
CLI = "tests/test_cli.py"
ITEMS, JOBS = "tests/test_items.py", "tests/test_experiments.py"
VERDICTS, NETWORKS = "tests/test_verdicts.py", "tests/test_networks.py"
FOREIGN, CUT = "tests/test_foreign.py", "tests/test_cut.py"
SWEEPS = "tests/test_sweep_log.py"
SCORES, EDITS = "tests/test_scores.py", "tests/test_edits.py"
TESTING, LIBRARIES = "tests/test_testing.py", "tests/test_libraries.py"
MUTANTS = [
    # ---- models that nobody prepared ----
    Mutant("views/sums.py", '.partition(".")[0]', "", f"{FOREIGN} -k graph"),
    Mutant("views/cut.py", "copies[node.args[deleted]]", "copies[node.args[0]]", CUT),
    Mutant("views/marks.py", "if any(order[user] > here for", "if any(False for", CUT),
    Mutant("anatomy/ways.py", "if not most <= CLOSE:", "if False:", CUT),
    Mutant("anatomy/ways.py", 'n * (1 if "conv" in str(name) else PRODUCTS)', "n", CUT),
    Mutant("anatomy/resume.py", "described(inputs)])", '""])', SWEEPS),
    Mutant("anatomy/resume.py", "for c in code.co_consts]", "for c in ()]", SWEEPS),
    Mutant("training/narrow.py", "max(part.stride) > 1", "max(part.stride) > 2", TRAINING),
    Mutant("views/trace.py", "if place == 5 and node.args[3] is None:", "if False:", FOREIGN),
    Mutant(
        "dissection/bench.py", "if others:", "if False:", "tests/test_dissection.py -k one_model"
    ),
    Mutant("subjects/text.py", "asked > most", "asked > 2 * most", "tests/test_subjects.py"),
    Mutant(
        "surgery/search.py",
        "key=lambda candidate: candidate.loss.value)\n            if not",
        "key=lambda candidate: -candidate.loss.value)\n            if not",
        "tests/test_removal_search.py",
    ),
    # ---- analyses ----
    Mutant(
        "anatomy/statistics.py",
        "left = np.arange(len(order), 0, -1)",
        "left = np.full(len(order), len(order))",
        SCORES,
    ),
    Mutant(
        "task.py",
        "output[:, : targets.shape[1] - self.ahead], targets[:, self.ahead :]",
        "output[:, self.ahead :], targets[:, self.ahead :]",
        SCORES,
    ),
    Mutant(
        "anatomy/comparisons.py",
        "student_mean(difference, n), p, n)",
        "student_mean(difference), p, n)",
        SCORES,
    ),
    Mutant(
        "views/edits.py",
        "        left = self.unit.bypass(z, strict=True)\n        return left, fitting",
        "        left = self.unit.bypass(z)\n        return left, fitting",
        EDITS,
    ),
    Mutant("views/replay.py", "isinstance(edit, Delete | Value)", "isinstance(edit, Edit)", EDITS),
    Mutant(
        "views/repeat.py", "given[before] = _given(kept[0])", "given[here] = _given(kept[0])", EDITS
    ),
    Mutant(
        "anatomy/stream.py",
        "            return self.scales.pop(0)\n",
        "            return value.detach()\n",
        "tests/test_stream.py",
    ),
    Mutant("anatomy/kernels.py", "np.fill_diagonal(l, 0.0)", "pass", "tests/test_similarity.py"),
    Mutant(
        "views/gates.py",
        "1 - call.tensors[1 - each.carried]",
        "call.tensors[1 - each.carried]",
        "tests/test_gates.py",
    ),
    Mutant(
        "anatomy/ranks.py",
        "actual < harm.change.value",
        "actual > harm.change.value",
        "tests/test_agreement.py",
    ),
    # ---- weights out, and testing ----
    Mutant(
        "training/precise.py",
        "apart.square() * (self.n * n / total)",
        "0.0",
        f"{TESTING} -k one_pass",
    ),
    Mutant("training/testing.py", "(0.5, 0.5)", "(0, 0)", f"{TESTING} -k corners"),
    Mutant(
        "training/testing.py",
        "torch.softmax(logits.double(), 1)",
        "logits.double()",
        f"{TESTING} -k probabilities",
    ),
    Mutant("verbs/exporting.py", "if not difference <= TOLERANCE:", "if False:", LIBRARIES),
    Mutant(
        "networks/weights.py",
        "_require_fit(network, given, names, where)\n    require",
        "require",
        "tests/test_parity.py -k named",
    ),
    # ---- jobs and items ----
    Mutant(
        "experiments/log.py",
        "damaged = digest != json_digest(content)",
        "damaged = False",
        f"{JOBS} -k damage",
    ),
    Mutant(
        "experiments/log.py",
        "if known.value != entry.value:",
        "if known is None:",
        f"{JOBS} -k values",
    ),
    Mutant("experiments/log.py", "probe.version, ", "", f"{JOBS} -k identified"),
    Mutant(
        "experiments/probe.py",
        "for n, v in plain.items() if v != defaults[n]",
        "for n, v in plain.items()",
        JOBS,
    ),
    Mutant(
        "experiments/bench.py", "self._key(run, probe) not in known]", "probe]", f"{JOBS} -k found"
    ),
    Mutant(
        "experiments/bench.py",
        "self._measure(run, self._missing(run, job.probes))",
        "self._measure(run, job.probes)",
        JOBS,
    ),
    Mutant(
        "experiments/executors.py",
        "while os.getppid() == parent:",
        "while True:",
        f"{JOBS} -k children",
    ),
    Mutant(
        "experiments/executors.py",
        "os.killpg(worker, signal.SIGKILL)",
        "pass",
        f"{JOBS} -k children",
    ),
    Mutant(
        "storage/files.py",
        'whole = file.read().rfind(b"\\n") + 1',
        "whole = len(file.read())",
        f"{JOBS} -k torn",
    ),
    Mutant(
        "storage/locks.py", "0 if self.wait else fcntl.LOCK_NB", "fcntl.LOCK_NB", f"{JOBS} -k waits"
    ),
    Mutant("studies/veit2016.py", "if u.shape_in[1:] == u.shape_out[1:]", "if u.parameters", ITEMS),
    Mutant("studies/veit2016_draws.py", "if len(d.deleted) == k", "if len(d.deleted) >= k", ITEMS),
    Mutant("studies/veit2016_draws.py", "((k / units, inside)", "((0.5, inside)", ITEMS),
    Mutant("studies/verdicts.py", "if len(found) == 1 else OPEN", "if found else OPEN", VERDICTS),
    Mutant("anatomy/statistics.py", "ndtri(1 - TAIL / among)", "ndtri(1 - TAIL)", VERDICTS),
    Mutant(
        "studies/verdicts.py",
        "verdict = NOT if order(mean)",
        "verdict = NOT if 1 or order(mean)",
        VERDICTS,
    ),
    Mutant(
        "studies/veit2016_paths.py",
        "comb(PAPER_UNITS - deleted, length)",
        "comb(PAPER_UNITS, length)",
        ITEMS,
    ),
    Mutant(
        "studies/veit2016_gradients.py",
        "    if not all(verdicts.learned",
        "    if all(verdicts.learned",
        ITEMS,
    ),
    # ---- the front desk ----
    Mutant("verbs/catalogue.py", "not options and classes in", "classes in", f"{CLI} -k verb"),
    Mutant(
        "verbs/requests.py",
        "replace(bound.arguments[name], **changed)",
        "own[name].default",
        f"{CLI} -k verb",
    ),
    Mutant(
        "storage/locks.py",
        "except BlockingIOError:\n        return",
        "except KeyError:\n        return",
        f"{CLI} -k listed",
    ),
    Mutant("training/checkpoint.py", "int(step[1])", "0 * int(step[1])", f"{CLI} -k listed"),
    # ---- what is refused ----
    Mutant(
        "reader.py", "right = said == json_digest(value)", "right = True", f"{MODEL} -k flipped"
    ),
    Mutant("results.py", "if result.slug in slugs:", "if False:", f"{MODEL} -k two_items"),
    Mutant("training/run.py", "run.weights()  #", "run.outcome  #", f"{STORED} -k whole_or"),
    Mutant("training/memory.py", 'not in ("", kind)', "is None", f"{STORED} -k optimiser"),
    Mutant("cli/command.py", "_takes(kind, int)", "False", f"{MODEL} -k numbers"),
    # ---- the merge ----
    Mutant(
        MERGES,
        "return torch.lerp(around, through, torch.sigmoid(self.transform(z)))",
        "return torch.lerp(through, around, torch.sigmoid(self.transform(z)))",
        UNITS,
    ),
    Mutant(
        MERGES,
        "None if around is None else (1 - gate) * around",
        "None if around is None else gate * around",
        LAWS,
    ),
    Mutant(
        MERGES,
        "None if through is None else gate * through",
        "None if through is None else through",
        LAWS,
    ),
    Mutant(
        MERGES,
        "return self.share * around, (1 - self.share) * through",
        "return around, (1 - self.share) * through",
        LAWS,
    ),
    Mutant(MERGES, "torch.cat([around, through], 1)", "torch.cat([through, around], 1)", UNITS),
    Mutant(
        MERGES,
        "else self._padded(through, channels, 0)",
        "else self._padded(through, 0, channels)",
        LAWS,
    ),
    Mutant(
        MERGES,
        "if bool((total - whole).abs().max() <= tol",
        "if bool((total - whole).abs().max() >= tol",
        LAWS,
    ),
    Mutant(
        MERGES, "        return self.share * around\n", "        return around\n", f"{UNITS} {LAWS}"
    ),
    Mutant(
        "units.py",
        "return self.after(self.merge(around, through, z))",
        "return self.merge(around, through, z)",
        UNITS,
    ),
    Mutant("units.py", "around = road(z)", "around = z", LAWS),
    # ---- the tape ----
    Mutant("views/tape.py", "else (whole, whole)", "else halves", f"{LAWS} -k gated"),
    Mutant(
        "views/tape.py", "at = self.z if self.inner is None else self._ends[1]", "at = self.z", LAWS
    ),
    Mutant(
        "views/tape.py",
        "return pull(self._around, at, stack)",
        "return pull(self._through, at, stack)",
        LAWS,
    ),
    # ---- stages and the sweep ----
    Mutant(
        "views/own.py",
        "return (nest.leave(around, through, z), *waiting)",
        "return (nest.leave(around, through, z),)",
        LAWS,
    ),
    Mutant(
        "views/own.py", "around = None if nest.plain else waiting.pop(0)", "around = None", LAWS
    ),
    Mutant(
        "views/own.py",
        "ahead=(partial(move, unit), *road[0].ahead)",
        "ahead=(*road[0].ahead, partial(move, unit))",
        LAWS,
    ),
    Mutant(
        "views/own.py",
        "behind=(*inner[-1].behind, partial(_leave, unit))",
        "behind=(partial(_leave, unit), *inner[-1].behind)",
        LAWS,
    ),
    Mutant(
        "views/edits.py",
        "return self.unit.bypass(z, self.strict), None",
        "return None, self.unit.bypass(z, self.strict)",
        LAWS,
    ),
    Mutant("views/fold.py", "_is(branch[-1], nn.Conv2d)", "True", LAWS),
    Mutant(
        "views/fold.py",
        "return type(module) is kind and not",
        "return isinstance(module, kind) and not",
        LAWS,
    ),
    Mutant("views/tape.py", "probe(unit.merge, around, through, z, where)", "pass", LAWS),
    Mutant("views/own.py", "return x.clone() if self.writes else x", "return x", LAWS),
    Mutant(
        "anatomy/walk.py",
        "found.setdefault((node, v[depth]), len(found))",
        "found.setdefault((0, v[depth]), len(found))",
        LAWS,
    ),
    Mutant(
        "anatomy/walk.py",
        "yield self.stages.finish(signals[end])",
        "yield self.stages.finish(signals[-1])",
        LAWS,
    ),
    Mutant("anatomy/deletions.py", "return ~right", "return right", LAWS),
    Mutant("anatomy/early.py", "error_rate / len(view.units)", "error_rate", EARLY),
    Mutant("anatomy/early.py", "random.default_rng(seed)", "random.default_rng(0)", EARLY),
    Mutant("anatomy/betting.py", " - np.log(len(BETS))", "", EARLY),
    Mutant("anatomy/betting.py", "(drawn * mean - before) / (size - drawn)", "0", EARLY),
    Mutant(
        "anatomy/betting.py",
        "rejected(-differences, -margin",
        "rejected(-differences, margin",
        EARLY,
    ),
    Mutant(
        "views/view.py",
        "nests = [part for part in series.parts if not single(part)]",
        "nests = []",
        LAWS,
    ),
    # ---- paths and gradients ----
    Mutant(
        "anatomy/paths.py",
        "return (1,) if expression.opens else (0,)",
        "return (0,) if expression.opens else (1,)",
        PATHS,
    ),
    Mutant("anatomy/paths.py", "[comb(sum(sizes) - size, j)]", "[comb(sum(sizes), j)]", PATHS),
    Mutant(
        "anatomy/splitting.py",
        "weights[source, column] * factor[row, slot]",
        "weights[source, column]",
        f"{SPLITTING} -k highway",
    ),
    Mutant(
        "anatomy/splitting.py",
        "weights, lengths + 1)",
        "weights, lengths)",
        f"{SPLITTING} -k highway",
    ),
    Mutant(
        "anatomy/splitting.py",
        "default_rng([seed, r, i])",
        "default_rng([seed, r])",
        f"{SPLITTING} -k apart",
    ),
    Mutant(
        "views/tape.py",
        "deepcopy(network.head).double(), last.double()",
        "network.head, last",
        SPLITTING,
    ),
    Mutant(
        "anatomy/measures.py",
        "np.sqrt(np.mean(self.squares, axis=0))",
        "np.mean(self.squares, axis=0)",
        MEASURES,
    ),
    Mutant("anatomy/measures.py", "** (1 / window)", "** 1", MEASURES),
    Mutant(
        "anatomy/statistics.py",
        "np.log(values[values > 0])",
        "np.log(values[values >= 0])",
        MEASURES,
    ),
    Mutant(
        "anatomy/recording.py", "through = _signed(through, sign)\n", "through = through\n", LAWS
    ),
    Mutant(
        "anatomy/recording.py",
        "around = None if around is None else _signed(around, sign)",
        "around = around",
        LAWS,
    ),
    Mutant(
        "anatomy/recording.py",
        "torch.cat([through.new_zeros(1, *through.shape[1:]), through])",
        "torch.cat([through, through.new_zeros(1, *through.shape[1:])])",
        LAWS,
    ),
    Mutant(
        "anatomy/recording.py",
        "total[: len(short)] += short",
        "total[-len(short) :] += short",
        LAWS,
    ),
    Mutant("anatomy/sampling.py", "            return Around()", "            return ()", LAWS),
    Mutant("anatomy/sampling.py", "rest = self.behind[i + 1]", "rest = self.behind[i]", LAWS),
    # ---- training ----
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


def run(mutant: Mutant, copy: Path) -> str:
    """ "killed", "SURVIVED", or what is wrong with the mutant."""
    file = copy / "residuum" / mutant.file
    whole = file.read_text()
    if whole.count(mutant.old) != 1:
        return f"STALE: the text stands there {whole.count(mutant.old)} times"
    file.write_text(whole.replace(mutant.old, mutant.new))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        *mutant.tests.split(),
    ]
    environment = os.environ | {
        "PYTHONPATH": str(copy),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return "killed"
    finally:
        file.write_text(whole)
    # 1: tests failed. Anything else is a mutant that broke the import, or tests that are not there
    return {0: "SURVIVED", 1: "killed"}.get(
        done.returncode, f"BROKEN: pytest ended with {done.returncode}"
    )


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(w in m.file or w in m.old for w in words)]
    ignored = shutil.ignore_patterns(
        ".*", "runs", "results", "__pycache__", "build", "dist", "data_*"
    )
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(WORKERS) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for worker in range(WORKERS):
            copies.put(Path(shutil.copytree(ROOT, Path(place) / str(worker), ignore=ignored)))

        def attempt(mutant: Mutant) -> tuple[Mutant, str]:
            copy = copies.get()
            try:
                return mutant, run(mutant, copy)
            finally:
                copies.put(copy)

        left = 0
        for mutant, verdict in pool.map(attempt, chosen):
            left += verdict != "killed"
            print(
                f"{verdict:<10} {mutant.file}: {mutant.old.strip()}  ->  {mutant.new.strip()}",
                flush=True,
            )
    print(f"{len(chosen) - left} of {len(chosen)} mutants killed")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
