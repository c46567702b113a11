"""Who may import whom: imports go one way, and heavy libraries live in one room each."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hyperspy_rvae

ROOT = Path(hyperspy_rvae.__file__).parent
LOWER = {"lattice", "subimages", "models", "analysis", "plotting"}
TOP = {"signals", "cli", "__init__"}
FILES = sorted(ROOT.rglob("*.py"))


def imports(path):
    """Full names that a file imports, those of type checking left out."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports name their room in full"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_stay_in_their_room(path):
    here, names = room(path), set(imports(path))
    rooms = {name.split(".")[1] for name in names if name.startswith("hyperspy_rvae.")} - {here}
    libraries = {name.split(".")[0] for name in names}
    if here in LOWER:
        table = {name for name in names if name.startswith("hyperspy_rvae.lattice.table")}
        assert rooms <= ({"lattice"} if table else set()), f"a lower room imports {rooms}"
        others = {name for name in names if name.startswith("hyperspy_rvae.lattice")} - table
        assert here == "lattice" or others <= {"hyperspy_rvae.lattice"}
    assert not rooms & {"signals", "cli"} or here in TOP
    assert "torch" not in libraries or here == "models"
    assert "matplotlib" not in libraries or here == "plotting"
    assert "hyperspy" not in libraries or here in {"signals", "data", "cli"}
    assert "atomap" not in libraries or path.stem.startswith("atomap")
    assert "temul" not in libraries or path.stem == "temul"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_is_missing(path):
    assert len(path.read_text().splitlines()) <= 400


def test_import_loads_nothing_heavy():
    heavy = "{'torch', 'atomap', 'temul'}"
    code = f"import sys, hyperspy.api, hyperspy_rvae; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_signals_leave_torch_for_later():
    code = "import sys, hyperspy_rvae.signals; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
