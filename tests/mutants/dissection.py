"""Lines of what takes models apart."""

from .mutant import Mutant

CUT = "tests/test_cut.py"
EARLY = "tests/test_early.py"
EDITS = "tests/test_edits.py"
FOREIGN = "tests/test_foreign.py"
LAWS = "tests/laws/test_anatomy.py tests/laws/test_gradients.py"
MEASURES = "tests/test_measures.py"
MERGES = "parts/merges.py"
PATHS = "tests/test_paths.py"
SCORES = "tests/test_scores.py"
SPLITTING = "tests/laws/test_splitting.py"
SWEEPS = "tests/test_sweep_log.py"
UNITS = "tests/test_units.py"
MUTANTS = [
    # ---- models that nobody prepared ----
    Mutant("views/sums.py", '.partition(".")[0]', "", f"{FOREIGN} -k graph"),
    Mutant("views/cut.py", "copies[node.args[deleted]]", "copies[node.args[0]]", CUT),
    Mutant("views/marks.py", "if any(order[user] > here for", "if any(False for", CUT),
    Mutant("views/second.py", "not in long | nested]", "not in long]", "tests/test_second.py"),
    Mutant("views/cut.py", "if number and not past.isdisjoint(ends):", "if False:", CUT),
    Mutant("anatomy/resume.py", "if isinstance(part, Tensor)}", "if False}", SWEEPS),
    Mutant("anatomy/ways.py", "if not most <= CLOSE:", "if False:", CUT),
    Mutant("anatomy/ways.py", 'n * (1 if "conv" in str(name) else PRODUCTS)', "n", CUT),
    Mutant("anatomy/resume.py", "described(inputs)])", '""])', SWEEPS),
    Mutant("anatomy/resume.py", "for c in code.co_consts]", "for c in ()]", SWEEPS),
    Mutant("views/trace.py", "if place == 5 and node.args[3] is None:", "if False:", FOREIGN),
    Mutant(
        "dissection/bench.py", "if others:", "if False:", "tests/test_dissection.py -k one_model"
    ),
    Mutant("subjects/text.py", "asked > most", "asked > 2 * most", "tests/test_subjects.py"),
    Mutant(
        "surgery/search.py",
        "key=lambda number: tried[number].loss.value)",
        "key=lambda number: -tried[number].loss.value)",
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
]
