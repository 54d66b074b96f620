"""The house: what stands on what, who writes, how large things may grow.

Raising a budget is a deliberate edit.
"""

import ast
import importlib
import inspect
import re
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from mutants import MUTANTS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "residuum"
FILES = sorted(PACKAGE.rglob("*.py"))
FILE_LINES = 300
FUNCTION_LINES = 45
ARGUMENTS = 7
EXEMPT = {  # a function, and why it is larger
    "anatomy.gradients.sampled_paths": "the paper's procedure has six numbers, a task comes on top",
    "anatomy.splitting.path_gradients": "three procedures with their numbers, and a task",
}
COLUMNS = 100


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def functions():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield f"{module_name(path)}.{node.name}", node


def test_sizes():
    for path in FILES:
        lines = path.read_text().splitlines()
        assert len(lines) <= FILE_LINES, path.name
    for name, node in functions():
        if name in EXEMPT:
            continue
        length = node.end_lineno - node.lineno + 1
        assert length <= FUNCTION_LINES, f"{name}: {length} lines"
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = len(arguments) - (bool(arguments) and arguments[0].arg in ("self", "cls"))
        assert count <= ARGUMENTS, f"{name}: {count} arguments"


def test_exemptions_are_of_functions_that_are_there():
    assert set(EXEMPT) <= {name for name, _ in functions()}


def test_every_mutant_breaks_a_line_that_is_there():
    for mutant in MUTANTS:
        assert (PACKAGE / mutant.file).read_text().count(mutant.old) == 1, mutant.old


def test_no_module_hides_what_its_package_exports():
    """Once a submodule is imported, its name in the package is the module."""
    for init in PACKAGE.rglob("__init__.py"):
        package = importlib.import_module(".".join(init.parent.relative_to(ROOT).parts))
        get = vars(package).get("__getattr__")
        modules = {path.stem for path in init.parent.iterdir()}
        for name in modules.intersection(dir(package)) if get else ():
            assert inspect.ismodule(get(name)), f"{init}: {name}"


def test_columns():
    folders = ("residuum", "tests", "benchmarks", "examples")
    for path in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            line = re.sub(r"  # (type: ignore|noqa|fmt: skip).*", "", line)
            assert len(line) <= COLUMNS, f"{path.name}:{number}: {len(line)} columns"


def test_warnings_of_ours_are_errors_and_those_of_others_are_not():
    for category in (UserWarning, DeprecationWarning, RuntimeWarning, ResourceWarning):
        for module in ("residuum", "residuum.anatomy.sweeps", "test_house", "laws.test_gates"):
            with pytest.raises(category):
                warnings.warn_explicit("of ours", category, "a.py", 1, module)
        with warnings.catch_warnings(record=True):
            for module in ("torch.nn.modules", "residuum_other", "matplotlib", "latest_"):
                warnings.warn_explicit("of others", category, "a.py", 1, module)


def test_floors_hold():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def calls(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


WRITING = {
    "write_text",
    "write_bytes",
    "unlink",
    "mkdir",
    "rmdir",
    "rmtree",
    "rename",
    "touch",
    "save_file",
    "savez",
    "to_csv",
}


def test_only_storage_writes():
    for path in FILES:
        if path.parent.name == "storage":
            continue
        tree = ast.parse(path.read_text())
        imported = {
            a.name
            for n in ast.walk(tree)
            if isinstance(n, ast.ImportFrom) and n.module
            for a in n.names
        }
        for function, node in calls(tree):
            last = function.split(".")[-1]
            assert not (last in WRITING and last not in imported), f"{path.name}: {function}"
            if function in ("open", "io.open"):
                modes = [a.value for a in node.args[1:2] if isinstance(a, ast.Constant)]
                assert modes == ["rb"], f"{path.name}: open for writing"


FORBIDDEN = (
    "pickle.load",
    "pickle.loads",
    "torch.load",
    "torch.save",
    "yaml.load",
    "eval",
    "exec",
    "os.system",
    "pickle.dump",
)


def test_nothing_is_unpickled_or_evaluated():
    for path in FILES:
        found = {name for name, _ in calls(ast.parse(path.read_text()))}
        assert not found & set(FORBIDDEN), path.name


def test_every_public_thing_says_what_it_is():
    for path in FILES:
        tree = ast.parse(path.read_text())
        if path.name != "__main__.py":
            assert ast.get_docstring(tree), f"{path.name} has no docstring"
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


QUICK = ("--help", "train --help", "ls", "info resnet110", "paths preresnet110 --delete 10")


@pytest.mark.parametrize("arguments", QUICK)
def test_what_is_known_needs_no_torch(arguments):
    """Nor anything else that is slow to load."""
    script = (
        f"import sys; sys.argv = ['residuum', *{arguments.split()}]\nfrom residuum import cli\n"
    )
    script += "try: cli.main()\nexcept SystemExit as end: code = end.code\n"
    script += "slow = ('torch', 'matplotlib', 'scipy', 'sklearn', 'PIL', 'joblib')\n"
    script += "print(code, [name for name in slow if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("module", ["residuum", "residuum.verbs", "residuum.pages"])
def test_importing_needs_no_torch(module):
    script = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_reports_need_neither_torch_nor_pyplot(tmp_path):
    shutil.copy(ROOT / "results" / "digits-laptop" / "study.json", tmp_path)
    script = f"import sys, residuum; residuum.report({str(tmp_path)!r})\n"
    script += "print([name for name in ('torch', 'matplotlib.pyplot') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    for figure in (ROOT / "results" / "digits-laptop" / "figures").glob("*.svg"):
        assert (tmp_path / "figures" / figure.name).exists()


def test_every_verb_is_at_the_top():
    import residuum
    from residuum import cli, verbs

    names = [name for name in verbs.__all__ if name.islower()]
    assert len(names) == 17
    named = {"evaluate": "eval", "map_units": "discover"}  # `discover` is of models that are there
    for name in names:
        assert getattr(residuum, name) is getattr(verbs, name)
        if name != "plan":  # a flag of study
            assert named.get(name, name) in cli.app


@pytest.mark.parametrize(
    "name",
    ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "docs/index.md", "docs/log.md"],
)
def test_papers_are_there(name):
    assert (ROOT / name).stat().st_size > 300


def test_examples_run(tmp_path):
    """But for those that test_smaller.py runs."""
    for script in sorted((ROOT / "examples").glob("*.py")):
        if script.name.startswith("smaller"):
            continue
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, (
            f"{script.name} after {time.monotonic() - start:.0f} s: {done.stderr[-1500:]}"
        )
