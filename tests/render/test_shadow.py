"""A ball's shadow falls where the light's direction says."""

from __future__ import annotations

import numpy as np
import trimesh

from occhand.render.shadow import cast_shadows, lit_share


def lit_at(shadows, point: np.ndarray) -> float:
    return lit_share(shadows.inverse_depth, shadows.light_from_cam, shadows.K, *point, 0.002)


def test_a_ball_shades_what_lies_behind_it_and_nothing_else():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.03)
    centre = np.array([0.02, -0.03, 0.5])
    for seed in range(8):
        towards = np.random.default_rng(seed).standard_normal(3)
        towards /= np.linalg.norm(towards)
        shadows = cast_shadows(ball.vertices + centre, np.asarray(ball.faces), towards, centre, 0.15, 128)
        aside = np.cross(towards, [0.3, 0.5, 0.8])
        aside /= np.linalg.norm(aside)
        behind = centre - 0.08 * towards
        assert lit_at(shadows, behind) == 0.0
        assert lit_at(shadows, behind + 0.025 * aside) == 0.0
        assert lit_at(shadows, behind + 0.036 * aside) > 0.999
        assert lit_at(shadows, centre + 0.08 * towards) > 0.999
        assert lit_at(shadows, centre + 0.031 * towards) > 0.999  # its own lit side
