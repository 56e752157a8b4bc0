"""What the package does where no model is named: our HandGCAT where there are 2D joints, our HandOccNet where there are none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt8

from occhand.estimators.estimate import Estimate, HandView, KeypointNeed, answer_apart
from occhand.estimators.network import NetworkEstimator


class DefaultEstimator:
    """A network for hands with 2D joints, another for those without; each says in its description why it was taken.

    Args:
        joints_network: Takes 2D joints. Ours is refined by the fit to them, which makes its hands better.
        make_pixels_network: Gives the one that takes none, at the first hand that comes without joints. Ours is left as it is: its own
            2D joints are poor, and the fit to them makes its hands worse.
    """

    keypoint_need: KeypointNeed = "preferred"

    def __init__(self, joints_network: NetworkEstimator, make_pixels_network: Callable[[], NetworkEstimator]) -> None:
        self.hand = joints_network.hand
        self._joints_network, self._make_pixels_network = joints_network, make_pixels_network

    def __call__(self, views: Sequence[HandView]) -> Estimate:
        return answer_apart(views, [view.keypoints is not None for view in views], self._answer)

    def _answer(self, views: Sequence[HandView], has_joints: bool) -> Estimate:
        estimate = (self._joints_network if has_joints else self._pixels_network)(views)
        reason = "2D joints are known" if has_joints else "no 2D joints can be had"
        return estimate._replace(descriptions=[f"{text} (the default where {reason})" for text in estimate.descriptions])

    @property
    def description(self) -> str:
        """Both networks, and when which is taken."""
        return f"{self._joints_network.description}; without 2D joints {self._pixels_network.description}"

    def identity(self) -> str:
        """A digest of all that decides what it says of a picture."""
        return hashlib.sha256((self._joints_network.identity() + self._pixels_network.identity()).encode()).hexdigest()

    @property
    def can_look_inside(self) -> bool:
        """Whether there are maps to show."""
        return self._joints_network.can_look_inside

    def look_inside(self, view: HandView) -> tuple[UInt8[np.ndarray, "size size 3"], dict[str, Float[np.ndarray, "_ _"]]]:
        """As the network that takes this view."""
        return (self._pixels_network if view.keypoints is None else self._joints_network).look_inside(view)

    @cached_property
    def _pixels_network(self) -> NetworkEstimator:
        return self._make_pixels_network()
