"""What the tests share: the command, a recording's feature file, a file that is made without it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import make

ROOT = Path(__file__).resolve().parents[2]

# What the tests start finds the package, too, wherever it runs.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "python/src"), os.environ.get("PYTHONPATH")]))


@pytest.fixture(scope="session")
def command() -> Path:
    """The built command: `$EARMARK_COMMAND`, or what `make build` builds."""
    path = Path(os.environ.get("EARMARK_COMMAND", ROOT / "target/release/earmark"))
    if not path.exists():
        pytest.skip(f"{path} is missing; `make build` builds it")
    return path


@pytest.fixture(scope="session")
def earmark_run(command: Path, tmp_path_factory: pytest.TempPathFactory):
    """Runs the command with these arguments, and fails where it does."""
    registry = tmp_path_factory.mktemp("registry") / "registry.bin"
    env = {"EARMARK_MODELS": str(ROOT / "models"), **os.environ, "GST_REGISTRY": str(registry)}

    def run(*args: object) -> str:
        done = subprocess.run([command, *map(str, args)], env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def kitchen(earmark_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped recording's feature file, as the command writes it."""
    path = tmp_path_factory.mktemp("kitchen") / "kitchen.h5"
    earmark_run("run", ROOT / "pipelines/grid.yaml", "--input", ROOT / "fixtures/kitchen.mp4", "--output", path, "--thumbnails")
    return path


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A feature file of 100 frames of 6 numbers."""
    return make.write(tmp_path / "P01.h5")
