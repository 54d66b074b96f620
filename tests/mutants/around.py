"""Lines of everything around: files, jobs, words, refusals."""

from .mutant import Mutant

CLI = "tests/test_cli.py"
ITEMS = "tests/test_items.py"
JOBS = "tests/test_experiments.py"
LIBRARIES = "tests/test_libraries.py"
MODEL = "tests/faults/test_model.py"
STORED = "tests/faults/test_checkpoint.py"
TESTING = "tests/test_testing.py"
VERDICTS = "tests/test_verdicts.py"
MUTANTS = [
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
    Mutant(
        "surgery/healing.py",
        "    _without_noise(small, several=min(n, healing.batch_size) > 1)\n",
        "    small.train()\n",
        "tests/test_healing.py",
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
]
