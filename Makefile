# Two commands: `make demo` trains and dissects three networks, `make test` runs the whole test suite.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test faults lint mutants gpu fuzz check clean

demo: $(VENV)/.installed
	$(BIN)/residuum study veit2016 --data digits --scale laptop --output runs/demo --workers 2

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 -q

# every row of the fault catalogue: held, failed or not applicable
faults: $(VENV)/.installed
	$(BIN)/python -m tests.faults

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

# break one line at a time and see a test fail (about ten minutes)
mutants: $(VENV)/.installed
	$(BIN)/python tests/mutants.py

# what must hold on a CUDA device; skipped where there is none
gpu: $(VENV)/.installed
	$(BIN)/python -m pytest tests/test_gpu.py -q

# ten thousand wrong flags and damaged files (about fifteen minutes); the suite does a thousand
fuzz: $(VENV)/.installed
	$(BIN)/python -m benchmarks.fuzz --cases 10000 --output results/fuzz.json

# every recorded kill of the full crash tests (about fifteen minutes); the suite itself does fewer
check: $(VENV)/.installed
	$(BIN)/python benchmarks/kill_resume.py --kills 200
	$(BIN)/python benchmarks/kill_study.py --kills 20

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[test,dev]"
	touch $@

clean:
	rm -rf $(VENV) runs .pytest_cache .ruff_cache .hypothesis .import_linter_cache
