from __future__ import annotations

import numpy as np
import pytest

from occhand.hand.assets import OPEN_HAND
from tools.open_hand.key_poses import KEY_POSES
from tools.open_hand.poses import build_prior, joint_limits


@pytest.fixture(scope="module")
def bundled() -> dict[str, np.ndarray]:
    with np.load(OPEN_HAND) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def built(bundled: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return build_prior({key: bundled[key] for key in ("v_template", "faces", "J_regressor")})


def test_bundled_prior_is_what_the_tool_builds(bundled: dict[str, np.ndarray], built: dict[str, np.ndarray]) -> None:
    """The sampler is chaotic where a collision is resolved one way or the other, so statistics agree to 0.3 degrees, not to the bit."""
    assert bundled["key_pose_names"].tolist() == list(KEY_POSES)
    for key in ("joint_axes", "joint_limits", "key_poses", "angles_mean", "angles_covariance", "hands_mean", "hands_covariance"):
        np.testing.assert_allclose(bundled[key], built[key], atol=0.005, err_msg=key)


def test_components_are_orthonormal_principal_axes(built: dict[str, np.ndarray]) -> None:
    components, covariance = built["hands_components"], built["hands_covariance"]
    np.testing.assert_allclose(components @ components.T, np.eye(45), atol=1e-9)
    variance = np.diag(components @ covariance @ components.T)
    np.testing.assert_allclose(components @ covariance @ components.T, np.diag(variance), atol=1e-9)
    assert (np.diff(variance) <= 1e-12).all()
    # Santello et al. 1998 found over 80 % in two components for imagined grasps; free poses spread wider.
    assert 0.5 < variance[:2].sum() / variance.sum() < 0.8


def test_key_poses_keep_the_limits(built: dict[str, np.ndarray]) -> None:
    limits = joint_limits()
    assert (built["key_poses"] >= limits[..., 0] - 1e-9).all()
    assert (built["key_poses"] <= limits[..., 1] + 1e-9).all()
