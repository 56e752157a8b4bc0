"""The hand model fitted to 2D joints; nothing in it is learned from images."""

from __future__ import annotations

from collections.abc import Sequence

from occhand.estimators.estimate import Estimate, Evidence, HandView, KeypointNeed, answer_apart, stack_floats
from occhand.fit import fit_hand
from occhand.fit.uncertainty import joint_sigma
from occhand.hand.hand_layer import HandLayer


class FitEstimator:
    """The hand model fitted to the 2D joints of each view."""

    keypoint_need: KeypointNeed = "required"

    def __init__(self, hand: HandLayer) -> None:
        self.hand = hand

    def __call__(self, views: Sequence[HandView]) -> Estimate:
        if any(view.keypoints is None for view in views):
            raise ValueError("The fit takes 2D joints with every hand. Give them, or use a HandOccNet.")
        has_cue = [view.keypoints is not None and view.keypoints.joints_world is not None for view in views]
        return answer_apart(views, has_cue, self._fit)

    def _fit(self, views: Sequence[HandView], has_cue: bool) -> Estimate:
        keypoints = [view.keypoints for view in views if view.keypoints is not None]
        cues = [points.joints_world for points in keypoints if points.joints_world is not None]
        evidence = Evidence.of(views, keypoints)
        fit = fit_hand(self.hand, *evidence, joints_world=stack_floats(cues) if has_cue else None)
        sigma = joint_sigma(self.hand, fit.rotations, fit.betas, fit.joints[:, 0], *evidence)
        description = "fit to 2D joints" + (", with MediaPipe's world joints as a weak cue for depth" if has_cue else "")
        return Estimate(*fit[:5], keypoints, [description] * len(views), sigma)
