"""What the networks refuse."""

import pytest
import torch

from occhand.models.presets import PRESETS, build_model
from occhand.types import ModelInput
from tests.models.conftest import small, small_inputs


@pytest.fixture(scope="module", params=["handoccnet", "handgcat"])
def model(request, open_hand):
    return build_model(small(PRESETS[request.param].config), open_hand).eval()


def spoiled(model, **changes):
    return small_inputs(model.config)._replace(**changes)


@pytest.mark.parametrize("shape", [(1, 3, 32, 64), (0, 3, 64, 64), (1, 1, 64, 64), (3, 64, 64)])
def test_other_sizes_and_empty_batches(model, shape):
    with pytest.raises(ValueError, match="B x 3 x 64 x 64 with B of at least 1"):
        model(ModelInput(torch.rand(shape)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 255.0, -1.0])
def test_values_that_are_no_image(model, value):
    image = torch.rand(1, 3, 64, 64)
    image[0, 1, 2, 3] = value
    with pytest.raises(ValueError, match=r"expected 0\.\.1"):
        model(ModelInput(image, torch.rand(1, 21, 2)))


def test_handgcat_names_the_sources_of_2d_joints(open_hand):
    model = build_model(small(PRESETS["handgcat"].config), open_hand).eval()
    with pytest.raises(ValueError, match=r"detector.*HandOccNet.*file.*annotations"):
        model(spoiled(model, joints_crop=None))
    with pytest.raises(ValueError, match="joints_crop is 3 x 21 x 2, expected 2 x 21 x 2"):
        model(spoiled(model, joints_crop=torch.rand(3, 21, 2)))
    with pytest.raises(ValueError, match="not finite"):
        model(spoiled(model, joints_crop=torch.full((2, 21, 2), float("nan"))))


def test_handoccnet_needs_no_joints(open_hand):
    model = build_model(small(PRESETS["handoccnet"].config), open_hand).eval()
    assert model(spoiled(model, joints_crop=None)).joints.shape == (2, 21, 3)
