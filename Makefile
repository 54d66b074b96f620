# Two commands: `make demo` trains and dissects three networks, `make test` runs the whole test suite.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
LOWEST ?= .venv-lowest
UV      = $(LOWEST)/bin/uv --no-cache

.PHONY: demo test faults lint zoo mutants lowest gpu fuzz check clean

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

# docs/zoo.md, from the index of presets
zoo: $(VENV)/.installed
	$(BIN)/residuum ls --markdown > docs/zoo.md

# break one line at a time and see a test fail (about ten minutes)
mutants: $(VENV)/.installed
	$(BIN)/python -m tests.mutants

# the whole suite on the oldest versions that pyproject.toml names, with the package as an installed
# wheel, in an environment of its own that is removed (6 GB while it runs). The tests import
# benchmarks/ by a path that comes behind the installed packages.
lowest: export PYTHONPATH =
lowest: export PYTHONSAFEPATH = 1
lowest:
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check uv
	$(UV) pip compile --quiet pyproject.toml --extra test --extra dev \
	  --resolution lowest-direct --python $(LOWEST)/bin/python --output-file $(LOWEST)/pins.txt
	$(UV) pip install --quiet --python $(LOWEST)/bin/python -r $(LOWEST)/pins.txt
	$(UV) build --quiet --wheel --out-dir $(LOWEST)/wheel
	$(UV) pip install --quiet --python $(LOWEST)/bin/python --no-deps $(LOWEST)/wheel/*.whl
	echo $(CURDIR) > $$($(LOWEST)/bin/python -c "import sysconfig as s; print(s.get_path('purelib'))")/root.pth
	$(LOWEST)/bin/python -c "import residuum as r; assert 'site-packages' in r.__file__, r.__file__"
	$(LOWEST)/bin/pytest -o pythonpath=tests -n 2 -q
	rm -rf $(LOWEST)

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
	rm -rf $(VENV) $(LOWEST) runs .pytest_cache .ruff_cache .hypothesis .import_linter_cache
