"""The package itself: its version, its wheel, its types, and what it imports."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import earmark

ROOT = Path(__file__).resolve().parents[2]


def test_its_version_is_that_of_the_command() -> None:
    cargo = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert cargo and earmark.__version__ == cargo[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make wheel` builds it."""
    if importlib.util.find_spec("flit_core") is None:
        pytest.skip("flit_core is not installed here; `make test` installs it")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "flit_core.wheel", "--outdir", folder], cwd=ROOT / "python", check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def test_the_wheel_holds_the_package_its_types_and_its_licences(wheel: Path) -> None:
    assert wheel.name == f"earmark-{earmark.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
        licences = {Path(name).name: archive.read(name) for name in names if "/licenses/" in name}
    modules = {f"earmark/{path.name}" for path in (ROOT / "python/src/earmark").iterdir() if path.is_file()}
    assert "earmark/py.typed" in modules and {name for name in names if name.startswith("earmark/")} == modules
    assert licences == {name: (ROOT / name).read_bytes() for name in ("LICENSE-MIT", "LICENSE-APACHE")}
    for line in ("Requires-Python: >=3.10", "License-Expression: MIT OR Apache-2.0", 'Requires-Dist: torch >=2 ; extra == "torch"'):
        assert line in about.splitlines()


def test_the_wheel_can_be_installed_and_reads_a_file(wheel: Path, made: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", tmp_path / "site", wheel], check=True)
    code = "import earmark; print(earmark.__file__, len(earmark.open(%r)))" % str(made)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True, capture_output=True, text=True)
    assert run.stdout.split() == [str(tmp_path / "site/earmark/__init__.py"), "100"]


def test_importing_it_imports_nothing_that_is_optional() -> None:
    code = "import sys, earmark; print(sorted({'torch', 'pandas'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


def test_every_name_that_it_gives_out_is_explained() -> None:
    for name in earmark.__all__:
        assert (getattr(earmark, name).__doc__ or "").strip(), name


def test_its_types_hold() -> None:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed here; `make test` installs it")
    run = subprocess.run([sys.executable, "-m", "mypy", "--cache-dir", os.devnull], cwd=ROOT / "python", capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_every_file_begins_with_what_it_is() -> None:
    for path in (ROOT / "python").rglob("*.py"):
        assert path.read_text().startswith('"""'), path
