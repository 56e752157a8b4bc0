"""Hands that tests share."""

import numpy as np
import pytest

from occhand.hand.parameters import HandParameters
from tests.golden.networks import golden_recipe


@pytest.fixture(scope="session")
def golden_parameters() -> HandParameters:
    """The hand-sized stand-in on which the released layer made its golden outputs; not a hand."""
    arrays = golden_recipe.mano_dict()
    keys = ("v_template", "shapedirs", "posedirs", "weights", "J_regressor", "hands_mean", "hands_components")
    return HandParameters(**{key: arrays[key] for key in keys}, faces=arrays["f"].astype(np.int64), side="right", name="golden")
