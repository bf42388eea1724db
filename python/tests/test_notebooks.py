"""The guide's notebooks run from the first cell to the last, on files that the command makes as they say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "docs/src/notebooks").glob("*.ipynb"))

# Jupyter's warnings don't concern the package.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def folder(earmark_run, kitchen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the notebooks say must be there: `kitchen.h5`, `features/` of its two halves, `kitchen.labels.csv`."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(kitchen, folder)
    shutil.copy(ROOT / "fixtures/kitchen.labels.csv", folder)
    whole = ROOT / "fixtures/kitchen.mp4"
    for name, part in (("first", ["-i", whole, "-t", "30"]), ("second", ["-ss", "30", "-i", whole])):
        subprocess.run(["ffmpeg", "-v", "error", *part, "-preset", "ultrafast", folder / f"{name}.mp4"], check=True)
    earmark_run("batch", ROOT / "pipelines/grid.yaml", folder / "first.mp4", folder / "second.mp4", "--output", folder / "features")
    return folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("nbclient", "ipykernel", "matplotlib", "pandas"):
        pytest.importorskip(package, reason=f"{package} is not installed here; `make test` installs it")
    import nbclient
    import nbformat

    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    # The kernel is this Python, whatever else is registered on this machine.
    kernel = tmp_path / "JUPYTER_DATA_DIR/kernels/python3/kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "x"}))
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(folder)}}
    done = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    code = [cell for cell in done.cells if cell.cell_type == "code"]
    assert len(code) >= 4 and all(cell.execution_count for cell in code)
    assert sum(bool(cell.outputs) for cell in code) >= len(code) - 2
    told = "".join(output.get("text", "") for cell in code for output in cell.outputs if output.output_type == "stream")
    print(told)
    if path.stem == "arrays":
        pictures = [output for cell in code for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(pictures) == 2 and "frames were taken at an anchor" in told
    if path.stem == "probe":
        assert "held out" in told


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_that_it_showed_is_kept(path: Path) -> None:
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


def test_the_guide_names_every_notebook() -> None:
    page = (ROOT / "docs/src/python.md").read_text()
    assert len(NOTEBOOKS) == 2
    for path in NOTEBOOKS:
        assert f"(notebooks/{path.name})" in page
