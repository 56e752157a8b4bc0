"""3D hand meshes from one RGB image, even where an object hides half of the hand."""

__version__ = "0.1.0.dev0"

from occhand.data.datasets import create_dataset
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.models.presets import create_model, list_models
from occhand.predictor import Predictor
from occhand.result import HandMesh

__all__ = ["HandLayer", "HandMesh", "Predictor", "create_dataset", "create_model", "list_models", "load_hand"]
