"""Released networks filled with the golden recipe's weights, and small networks."""

from dataclasses import replace

import pytest
import torch

from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.models.checkpoint import load_released
from occhand.models.config import HandOccNetConfig, ModelConfig
from occhand.types import ModelInput
from tests.golden.networks import golden_recipe
from tests.hand.conftest import golden_parameters  # noqa: F401 (a fixture)


@pytest.fixture(scope="session")
def golden_hand(golden_parameters):  # noqa: F811
    return HandLayer(golden_parameters)


@pytest.fixture(scope="session")
def open_hand():
    return load_hand("open")


@pytest.fixture(scope="session")
def recipe_weights():
    """Released keys to recipe weights, made once per network."""
    return {net: golden_recipe.state_dict_torch(net) for net in golden_recipe.NETS}


@pytest.fixture(scope="session")
def released(recipe_weights):
    """Both networks as `load_released` makes them, on the hand inside the snapshot. Tests must leave them as they are."""
    return {net: load_released({"epoch": 0, "network": weights}) for net, weights in recipe_weights.items()}


@pytest.fixture(scope="session")
def golden_inputs():
    def make(batch):
        arrays = golden_recipe.inputs(batch)
        return ModelInput(torch.from_numpy(arrays["img"]), torch.from_numpy(arrays["joints_img"]))

    return make


def small(config: ModelConfig) -> ModelConfig:
    """The same switches on narrow layers and 64 pixels: quick on one thread."""
    sizes = {
        "input_size": 64,
        "map_size": 8,
        "channels": 16,
        "trunk": "resnet18",
        "trunk_width": 4,
        "hourglass_depth": 2,
        "encoder_channels": 16,
        "encoder_levels": 2,
        "head_widths": (32, 32),
    }
    if isinstance(config, HandOccNetConfig):
        sizes["heads"] = min(config.heads, 4)
    return replace(config, **sizes)


def small_inputs(config: ModelConfig, batch: int = 2, seed: int = 0) -> ModelInput:
    generator = torch.Generator().manual_seed(seed)
    size = config.input_size
    return ModelInput(torch.rand(batch, 3, size, size, generator=generator), torch.rand(batch, 21, 2, generator=generator))
