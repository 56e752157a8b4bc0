"""3D hand meshes from one RGB image, even where an object hides half of the hand."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from occhand.data.datasets import create_dataset
    from occhand.hand.hand_layer import HandLayer, load_hand
    from occhand.models.presets import create_model, list_models
    from occhand.predictor import Predictor
    from occhand.result import HandMesh

__all__ = ["HandLayer", "HandMesh", "Predictor", "create_dataset", "create_model", "list_models", "load_hand"]

_HOMES = {
    "HandLayer": "occhand.hand.hand_layer",
    "HandMesh": "occhand.result",
    "Predictor": "occhand.predictor",
    "create_dataset": "occhand.data.datasets",
    "create_model": "occhand.models.presets",
    "list_models": "occhand.models.presets",
    "load_hand": "occhand.hand.hand_layer",
}
"""Where each public name lives. It is imported at its first use, so that nobody waits for what is not asked for."""

if not TYPE_CHECKING:  # to a type checker this would make every name valid

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'occhand' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
