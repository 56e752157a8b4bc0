"""The estimators that a visitor may choose from, loaded when first chosen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

from occhand.detect import DetectedHand, Detector, Keypointer
from occhand.hand.assets import load_parameters
from occhand.models.checkpoint import BUNDLED, bundled_weights
from occhand.predictor import Predictor
from occhand.pretrained import DEFAULT_MODEL, load_estimator

OWN_HAND = "of the model"


class Choice(NamedTuple):
    """What a visitor chose."""

    model: str
    refine: bool
    hand: str


class Shelf:
    """Estimators by name.

    Args:
        model: What is offered first: weights of the host's own, a bundled network, or the fit; `auto` is our HandGCAT.
        detector: Finds hands in visitors' pictures; None: MediaPipe, started when the first picture comes.
    """

    def __init__(self, model: str | os.PathLike[str] = DEFAULT_MODEL, detector: Detector | Keypointer | None = None) -> None:
        bundled = {name: name for name in BUNDLED if bundled_weights(name).exists()}
        own = {} if model in (DEFAULT_MODEL, "fit", *BUNDLED) else {Path(str(model)).name: str(model)}
        first = {name: name for name in ("fit", *bundled) if name == model}
        self._files = own | first | bundled | {"fit": "fit"}
        self._finder = Predictor(load_estimator("fit"), detector, detector)  # type: ignore[arg-type]
        self._load = lru_cache(maxsize=8)(self._load_now)
        for name in own:  # what is wrong with the host's file is said at the start, not to a visitor
            self._load(Choice(name, True, OWN_HAND))

    @property
    def models(self) -> Sequence[str]:
        return list(self._files)

    @cached_property
    def hands(self) -> Sequence[str]:
        """Hand models: MANO only where the host has converted one."""
        try:
            load_parameters("mano")
        except FileNotFoundError:
            return [OWN_HAND, "open"]
        return [OWN_HAND, "open", "mano"]

    def predictor(self, choice: Choice) -> Predictor:
        """Raises ValueError for what is not on offer: what a browser sends is never taken for a path."""
        if choice.model not in self._files or choice.hand not in self.hands:
            raise ValueError(f"{choice.model!r} with {choice.hand!r} is not on offer here. Choose one of {', '.join(self._files)}.")
        return self._load(choice)

    def find_hands(self, picture: object) -> list[DetectedHand]:
        return self._finder.find_hands(picture)  # type: ignore[arg-type]

    def _load_now(self, choice: Choice) -> Predictor:
        return Predictor.from_pretrained(self._files[choice.model], None if choice.hand == OWN_HAND else choice.hand, choice.refine)
