"""Predicted hands beside the true ones, as arrays; what is scored, listed and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from occhand.data.submission import attach_wrist
from occhand.files import atomic_path
from occhand.metrics.figures import Scored


@dataclass(frozen=True)
class EvaluatedHands:
    """Hands in the order of the data set: metres, OpenCV camera frame of the whole picture, house order, left hands as left hands."""

    places: Int[np.ndarray, "n"]
    """In the data set."""
    keys: np.ndarray
    """(n,) str."""
    sides: np.ndarray
    """(n,) str."""
    K: Float[np.ndarray, "n 3 3"]
    joints: Float[np.ndarray, "n 21 3"]
    """Predicted."""
    true_joints: Float[np.ndarray, "n 21 3"]
    """NaN where nobody knows; HO-3D's evaluation split gives the wrist alone."""
    occlusion: Float[np.ndarray, "n"]
    """Share of the hand that is hidden; NaN where nobody knows."""
    vertices: Float[np.ndarray, "n 778 3"] | None = None
    """float32, where the benchmark scores meshes."""
    true_vertices: Float[np.ndarray, "n 778 3"] | None = None
    """float32; NaN where nobody knows."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def is_known(self) -> np.ndarray:
        """(n,) bool: whether all joints have a truth."""
        return np.isfinite(self.true_joints).all(axis=(1, 2))

    @property
    def has_meshes(self) -> np.ndarray:
        """(n,) bool: whether both meshes are there and finite."""
        if self.vertices is None or self.true_vertices is None:
            return np.zeros(len(self), dtype=bool)
        return np.isfinite(self.vertices).all(axis=(1, 2)) & np.isfinite(self.true_vertices).all(axis=(1, 2))

    def with_given_wrist(self) -> EvaluatedHands:
        """Moved so that each wrist is the data set's."""
        wrist, given = self.joints[:, 0], self.true_joints[:, 0]
        vertices = None if self.vertices is None else attach_wrist(self.vertices, wrist, given).astype(np.float32)
        return replace(self, joints=attach_wrist(self.joints, wrist, given), vertices=vertices)

    def select(self, rows: np.ndarray) -> EvaluatedHands:
        """Some of them."""
        return replace(self, **{name: value[rows] for name, value in self._arrays().items()})

    def scored(self) -> Scored:
        """For the metrics: meshes only where every hand has two. All joints must be known."""
        assert self.is_known.all()
        joints, true_joints = torch.from_numpy(self.joints), torch.from_numpy(self.true_joints)
        if self.vertices is None or self.true_vertices is None or not self.has_meshes.all():
            return Scored(joints, true_joints)
        vertices, true_vertices = (torch.from_numpy(mesh).double() for mesh in (self.vertices, self.true_vertices))
        return Scored(joints, true_joints, vertices, true_vertices)

    @classmethod
    def concatenate(cls, parts: Sequence[EvaluatedHands]) -> EvaluatedHands:
        """All parts, one after the other; at least one."""
        arrays = [part._arrays() for part in parts]
        return cls(**{name: np.concatenate([part[name] for part in arrays]) for name in arrays[0]})

    def save(self, path: Path) -> None:
        """Keep as npz, whole or not at all."""
        with atomic_path(path) as temporary:
            np.savez(temporary, **self._arrays())

    @classmethod
    def load(cls, path: Path) -> EvaluatedHands:
        """Read what `save` kept."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})

    def _arrays(self) -> dict[str, Any]:
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
