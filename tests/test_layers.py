"""Imports point down only, and importing the package brings in nothing optional."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import occhand

PACKAGE = Path(occhand.__file__).parent
LAYERS = (
    {"types", "files", "pickles", "broken_files"},
    {"geometry", "image_io", "mesh_io", "plot"},
    {"hand"},
    {"models", "data", "metrics", "render"},
    {"losses", "joint_sets", "fit", "detect", "result", "synth", "data_check", "runtimes"},
    {"open_losses"},
    {"estimators", "recipes", "run_folder"},
    {"pretrained", "evaluate", "training_data"},
    {"predictor"},
    {"outputs", "train", "video", "export", "bench"},
    {"doctor", "dry_run", "ablate", "batch", "demo", "stress"},
    {"cli"},
    {"__main__"},
)
RANK = {unit: rank for rank, layer in enumerate(LAYERS) for unit in layer}


def unit_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imported_units(path: Path):
    """The package's own files and folders that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" if node.module == "occhand" else node.module or "" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "occhand" and len(parts) > 1:
                yield parts[1]


def test_imports_point_down():
    sources = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    assert len(sources) > 15
    for path in sources:
        unit = unit_of(path)
        assert unit in RANK, f"{path.name} has no layer: name it in {__file__}"
        for other in imported_units(path):
            if other in ("__version__", unit):
                continue
            assert RANK[other] < RANK[unit], f"occhand.{unit} imports occhand.{other}, which is not below it"


def test_public_names_are_there_and_no_others():
    for name in occhand.__all__:
        assert getattr(occhand, name).__name__ == name
        assert name in dir(occhand)
    with pytest.raises(AttributeError, match="no attribute 'Predicter'"):
        _ = occhand.Predicter


def test_import_brings_in_nothing_optional_and_prints_nothing():
    # numba is no option, but takes a quarter of a second to import and serves to draw only.
    code = (
        "import sys\n"
        "from occhand import *\n"
        "optional = {'mediapipe', 'cv2', 'skimage', 'embreex', 'OpenGL', 'matplotlib', 'lightning_fabric'}\n"
        "optional |= {'onnx', 'onnxscript', 'onnxruntime', 'openvino', 'nncf', 'gradio', 'av', 'pyarrow', 'tensorboard'}\n"
        "print(sorted((optional | {'numba', 'scipy'}) & set(sys.modules)), end='')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]"
    assert done.stderr == ""


def test_a_predictor_of_the_bundled_weights_leaves_out_the_compiler_of_pytorch():
    """Its import takes longer than all that a predictor needs."""
    code = (
        "import sys\n"
        "from occhand import Predictor\n"
        "Predictor.from_pretrained('handgcat-open-s')\n"
        "print('torch._dynamo' in sys.modules, end='')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False"
