"""The released conversion of results, on the released code's own outputs."""

from pathlib import Path

import numpy as np
import pytest

from occhand.data.submission import joints_to_ho3d, vertices_to_ho3d
from occhand.evaluate.hands import EvaluatedHands
from occhand.evaluate.listing import hand_errors
from tests.golden.networks import golden_recipe
from tests.golden.networks.compare import compare

GOLDEN = Path(golden_recipe.HERE)


def evaluated() -> EvaluatedHands:
    """The recipe's predictions as an estimator gives them, mirrored back for the left hand, beside the recipe's annotations."""
    predictions, items = golden_recipe.evaluation_inputs(), golden_recipe.dataset_items()
    mirror = np.array([[-1.0 if item["hand_type"] == "left" else 1.0, 1.0, 1.0] for item in items])[:, None]
    return EvaluatedHands(
        places=np.arange(2),
        keys=np.array(["a", "b"]),
        sides=np.array([item["hand_type"] for item in items]),
        K=np.tile(np.eye(3), (2, 1, 1)),
        joints=np.stack([one["joints"] for one in predictions]) * mirror,
        true_joints=np.stack([item["joints_coord_cam"] for item in items]).astype(np.float64),
        occlusion=np.full(2, np.nan),
    )


@pytest.mark.parametrize("opencv", ["preprocess_cv4", "preprocess_cv5"])
def test_every_result_conversion_of_the_release(opencv, capsys):
    with np.load(GOLDEN / f"{opencv}.npz") as arrays:
        golden = {name: arrays[name] for name in arrays.files if name.startswith("ev/")}
    assert len(golden) == 4
    dexycb = evaluated()
    # HO-3D has right hands only: the recipe's second hand is not mirrored there, and only the wrist of its truth is given.
    right = EvaluatedHands(
        **{
            **vars(dexycb),
            "joints": np.stack([one["joints"] for one in golden_recipe.evaluation_inputs()]).astype(np.float64),
            "vertices": np.stack([one["verts"] for one in golden_recipe.evaluation_inputs()]),
        }
    ).with_given_wrist()
    errors = hand_errors(dexycb, allow_reflection=False)
    mine = {
        "ev/HO3D_joints": joints_to_ho3d(right.joints),
        "ev/HO3D_verts_sub": vertices_to_ho3d(right.vertices)[:, ::20],
        "ev/DEX_YCB_mpjpe": errors.root_mpjpe,
        "ev/DEX_YCB_pampjpe": errors.pa_mpjpe,
    }
    assert compare(golden, mine) == 0, capsys.readouterr().out
