"""What a report says of the hand models on both sides, and what it does not ask twice."""

import copy

import pytest

from occhand.estimators import FitEstimator
from occhand.stress import StressConfig, run_stress

NOTHING = StressConfig(families=(), hands_per_level=0, bootstrap_draws=20, worst=0)


@pytest.mark.parametrize(("own", "data", "is_noted"), [("mano", "open", True), ("open", "open", False), ("mano", None, False)])
def test_vertices_of_another_hand_are_noted(hand, samples, tmp_path, own, data, is_noted):
    other = copy.deepcopy(hand)
    other.name = own
    result = run_stress(FitEstimator(other), samples[:4], tmp_path, "fit", "made hands", NOTHING, data_hand=data)
    assert any("The model's hand is the mano one, the data's the open one" in note for note in result.notes) == is_noted
    assert any("do not correspond" in note for note in result.notes) == is_noted


def test_without_meshes_there_is_nothing_to_note(hand, unannotated, tmp_path):
    other = copy.deepcopy(hand)
    other.name = "mano"
    result = run_stress(FitEstimator(other), unannotated[:4], tmp_path, "fit", "made hands", NOTHING, data_hand="open")
    assert not any("do not correspond" in note for note in result.notes)


@pytest.mark.parametrize(("perturbed", "calls"), [(4, 2), (3, 3)])
def test_hands_are_not_estimated_again_for_the_mirrored_ones(hand, samples, tmp_path, perturbed, calls):
    seen = []

    class Counting(FitEstimator):
        def __call__(self, views):
            seen.append(len(views))
            return super().__call__(views)

    config = StressConfig(families=(), hands_per_level=perturbed, bootstrap_draws=20, worst=0)
    result = run_stress(Counting(hand), samples[:4], tmp_path, "fit", "made hands", config)
    assert len(seen) == calls
    assert len(result.flips["fit"]) == perturbed
