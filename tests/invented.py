"""An invented study that has everything a page can show: seeds, holes, ranges, long names."""

from residuum.results import (
    Claim,
    Dissection,
    Figure,
    Nest,
    Network,
    Result,
    Section,
    Series,
    Span,
    Study,
    Table,
    Unit,
    Verdict,
)  # fmt: skip

NAMES = {"preresnet56": "residual", "preplain56": "plain twin", "vgg15": "VGG"}


def network(name: str, seed: int, units: int = 27) -> Network:
    shapes = ["16x8x8 to 16x8x8", "16x8x8 to 32x4x4"]
    row = tuple(
        Unit(i, shapes[i == 9], 4672, "identity", 90.0 * i / units, 80.0 * i / units, 95.0)
        for i in range(units)
    )
    return Network(name, f"{NAMES[name]}, seed {seed}", 853018, 56, 0.56, (0.15, 2.01), 359, row)


def curve(name: str, height: float, points: int = 28, **style) -> Series:
    x = tuple(range(points))
    y = tuple(height + 30 * k / points for k in x)
    labels = tuple(f"{name}, length {k}: {v:.2f} % [1.2, 3.4]" for k, v in zip(x, y, strict=True))
    return Series(name, x, y, tuple(v - 4 for v in y), tuple(v + 4 for v in y), labels, **style)


def result(item: str, figure: Figure | None, verdict: Verdict = "reproduced") -> Result:
    claim = Claim(
        "The error rises smoothly with the number of units deleted.",
        "more than 95 % of 2^54 paths",
        "1.61e-02 [1.2e-3, 2.2e-2]; Spearman -0.741; 16x8x8; lengths 5-17",
        verdict,
        "Spearman correlation at least 0.95",
    )
    table = Table(
        ("network", "seed", "units", "intact", "median change", "worst change", "significant"),
        (("preresnet56", 0, 27, "0.56 %", "0.61 %", "40.39 % (unit 0)", 9),) * 3,
    )
    finding = "Deleting 5 of 27 units at random gives 37.4 % [18.6, 56.1] error, n = 359."
    notes = ("A note of 2026-11-21.",)
    return Result(item, "Deleting many units", finding, claim, figure, table, "359 images", notes)


def invented_study() -> Study:
    """Three roles, three seeds each; figures with bands, ranges, a logarithm and a hole."""
    pairs = [(name, seed) for name in NAMES for seed in range(3)]
    lines = tuple(curve(f"{n} seed {s} ({NAMES[n]})", 9.0 * i) for i, (n, s) in enumerate(pairs))
    level = Series("preplain56 intact", (0, 27), (42.0, 42.0), style="level")
    spans = (Span(2, 10, "95 %, published: 2-10"), Span(1, 8, "95 %, exact: 1-8"))
    tau = "Kendall's tau against the trained order, over all units (those that never move included)"
    holes = Series("exact", (0, 1, 2), (1e-3, None, 1e-12), labels=("zero", "one", "two"))
    points = curve("one order each", 20, 80, style="points")
    return Study(
        "veit2016",
        "Residual networks behave like ensembles of relatively shallow networks",
        "digits",
        "laptop",
        ("Mean absolute gradient: preresnet56 1.61e-02 to 1.04e-03.",) * 3,
        tuple(network(name, seed) for name, seed in pairs),
        (
            result("figure 3", Figure("position", "test error (%)", (*lines, level))),
            result("figure 5b", Figure(tau, "test error (%)", (points,), reverse_x=True)),
            result("figure 6b", Figure("length", "norm", (holes,), log_y=True), "not reproduced"),
            result(
                "figure 6c",
                Figure(
                    "length",
                    "share (%)",
                    (curve("published", 3), curve("exact", 9)),
                    False,
                    False,
                    spans,
                ),
                "not decidable at this scale",
            ),
            result("numbers in the text", None, "exact"),
        ),
        {
            "date": "2026-11-21",
            "data": {"name": "digits", "classes": list("0123456789"), "digest": "7f" * 32},
            "trials": [
                {"preset": name, "seed": seed, "weights sha256": "1e5" * 21, "compiled": False}
                for name, seed in pairs
            ],
            "versions": {"torch": "2.15.0"},
        },
    )


def invented_unit(number: int) -> Unit:
    """Harmful, harmless, helpful and uneditable ones; some of two branches; names of any length."""
    change = None if number == 7 else (5.0 / (1 + number) - 0.2, -0.1, 6.0 / (1 + number))
    change = (-0.3, -0.4, -0.2) if number == 9 else change
    name = f"model.decoder.layers.{number}.post_feedforward_layernorm_and_something_long"
    kind = "resampled, sum" if number == 5 else "identity, sum"
    shape = "128x768 to 128x768" if number != 5 else "128x768 to 64x1536"
    error = (None,) * 3 if change is None else (90.0 / (1 + number), 1.0, 95.0)
    return Unit(number, shape, 7087872, kind, *error, name, 1 + (number == 3), change)


def invented_dissection(units: int = 112) -> Dissection:
    """A deep model with nests in nests, a refused part, long words and a symmetric logarithm."""
    row = tuple(map(invented_unit, range(units)))
    harms = tuple(unit.change[0] if unit.change else None for unit in row)
    low, high = (tuple(unit.change[i] if unit.change else None for unit in row) for i in (1, 2))
    labels = tuple(f"without unit {i}: loss +0.1 [0.0, 0.2]" for i in range(units))
    points = Series("one unit deleted", tuple(range(units)), harms, low, high, labels, "points")
    level = Series("no change", (0, units - 1), (0, 0), style="level")
    axes = "unit", "change of the loss (nats a token)", (points, level)
    word = "model.decoder.layers.11.post_feedforward_layernorm.and.whatever.stands.behind.it"
    long = ("dense concatenation", f"{word}, added in the model itself", "128x768 to 128x768")
    table = Table(("what is beside the units", "where", "size"), (long,) * 3)
    finding = f"Deleting unit 0 ({word}) does the most harm: +4.8 [3.9, 6.0] in loss."
    how = "G_k, what arrives at the input by all c_k paths of length k together."
    scores = tuple(curve(name, 3 * i, 56) for i, name in enumerate(("influence", "angle", "ratio")))
    gone = tuple((" ".join(map(str, range(k))), "50.1 %", "+0.1 [0.0, 0.2]") for k in range(40))
    columns = ("removed by greedy search", "parameters left", "change of the loss")
    return Dissection(
        "module.path.with.several.parts:a_function_that_makes_it",
        *("a book of many words", "sequence", 124439808, 500, "loss (nats a token)"),
        *((3.2134, 3.1, 3.3), None, (24.9, 22.2, 27.1)),
        summary=(finding,) * 3,
        units=row,
        nests=(Nest(0, 7, "a way round 8 units"), Nest(2, 4, "a way round 3 units")),
        sections=(
            Section("structure", "What the model is made of", finding, table=table, how=how),
            Section("lesions", "In signal order", finding, Figure(*axes), None, "500 test", how),
            Section("lesions sorted", "Sorted", finding, Figure(*axes, True, near_zero=1e-3)),
            Section("path gradients", "The gradient by path length", refused=f"{word} has no sum"),
            Section("redundancy", "Scores", finding, Figure("unit", "share", scores)),
            Section("frontier", "Frontier", finding, table=Table(columns, gone), notes=(word,) * 7),
        ),
        provenance={"weights sha256": "1e5" * 21, "data": {"name": word, "tokens": "bytes"}},
    )
