"""Which runtimes and precisions there are, and whether this machine has them: asked before any work begins."""

from __future__ import annotations

import importlib.util
import shutil
from typing import Literal, get_args

import torch

Runtime = Literal["torch", "compile", "onnx", "openvino"]
RuntimeChoice = Literal["torch", "compile", "onnx", "openvino", "auto"]
Precision = Literal["fp32", "bf16", "int8"]

PRECISIONS: dict[Runtime, tuple[Precision, ...]] = {
    "torch": ("fp32", "bf16"),
    "compile": ("fp32", "bf16"),
    "onnx": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8"),
}
"""What each runtime computes in on a CPU. int8 needs a file made with calibration."""
_PACKAGES: dict[Runtime, tuple[str, ...]] = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino")}


def resolve(runtime: str, precision: str) -> tuple[Runtime, Precision]:
    """The runtime and precision to use.

    Args:
        runtime: One of `RuntimeChoice`; `auto` is the quickest that is installed and has the precision: OpenVINO, ONNX Runtime, PyTorch.
        precision: One of `Precision`.

    Raises:
        ValueError: Unknown names, a precision that the runtime or the processor has not.
        ImportError: The runtime is not installed.
    """
    if runtime not in get_args(RuntimeChoice):
        raise ValueError(f"Unknown runtime {runtime!r}; choose one of {', '.join(get_args(RuntimeChoice))}.")
    if precision not in get_args(Precision):
        raise ValueError(f"Unknown precision {precision!r}; choose one of {', '.join(get_args(Precision))}.")
    if runtime == "auto":
        order: tuple[Runtime, ...] = ("openvino", "onnx", "torch")
        fitting = [name for name in order if precision in PRECISIONS[name] and not missing_packages(name)]
        runtime = fitting[0] if fitting else "onnx"
    chosen, exact = _typed(runtime, precision)
    if exact not in PRECISIONS[chosen]:
        able = [name for name, known in PRECISIONS.items() if exact in known]
        raise ValueError(f"Runtime {runtime} has no {precision}; choose {' or '.join(PRECISIONS[chosen])}, or runtime {' or '.join(able)}.")
    check_installed(chosen)
    if exact not in processor_precisions():
        raise ValueError(
            f"This processor has no instructions for {precision}, so it would be slower and less exact than fp32. Use --precision fp32."
        )
    return chosen, exact


def _typed(runtime: str, precision: str) -> tuple[Runtime, Precision]:
    return (
        next(name for name in get_args(Runtime) if name == runtime),
        next(name for name in get_args(Precision) if name == precision),
    )


def check_device(device: str | torch.device) -> None:
    """Say where PyTorch does not run here.

    Raises:
        ValueError: No such device.
    """
    if str(device).partition(":")[0] not in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        raise ValueError(f"There is no device {str(device)!r} here. Choose cpu, or cuda where PyTorch finds a GPU.")


def missing_packages(runtime: Runtime) -> list[str]:
    """The packages that a runtime needs and that are not installed."""
    return [name for name in _PACKAGES.get(runtime, ()) if importlib.util.find_spec(name) is None]


def check_installed(runtime: Runtime) -> None:
    """Say what a runtime lacks.

    Raises:
        ImportError: Packages of the extra `export`, or the compiler that PyTorch's compiler calls.
    """
    if missing := missing_packages(runtime):
        raise ImportError(f"Runtime {runtime} needs {', '.join(missing)}. Install them with: pip install 'occhand[export]'")
    if runtime == "compile" and not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
        raise ImportError("Runtime compile needs a C++ compiler (g++ or clang++), and none was found. Use --runtime torch.")


def processor_precisions() -> tuple[Precision, ...]:
    """What the processor multiplies with instructions of its own."""
    cpu = torch.backends.cpu.get_cpu_capability()
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() or "SVE" in cpu  # no public question for it yet
    has_int8 = torch.cpu._is_vnni_supported() or "SVE" in cpu
    names: list[Precision] = ["fp32"]
    names += ["bf16"] if has_bf16 else []
    names += ["int8"] if has_int8 else []
    return tuple(names)
