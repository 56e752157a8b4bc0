"""What is trained on what, and how: every training recipe by name.

The papers' recipes are the released code's; where that departs from a paper, `docs/models.md` says so. A variant is
`replace(RECIPES[name], field=...)`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss

from occhand.data.augment import RELEASED, Augmentation, JitterRange
from occhand.data.joint_errors import DetectorErrors, FixedErrors
from occhand.data.transforms import JointNoise, TrainingCrop
from occhand.losses import HandLosses, LossConfig, hand_losses
from occhand.metrics.functional import relative_to
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.open_losses import OpenLoss
from occhand.types import ModelInput, ModelTarget

Network = HandOccNet | HandGCAT
WrappedNetwork = Any
"""A `Network`, or what Lightning Fabric makes of it, which has its attributes too."""


@runtime_checkable
class Losses(Protocol):
    """Weighted terms of a loss: a NamedTuple of scalars."""

    @property
    def total(self) -> Tensor: ...

    def _asdict(self) -> dict[str, Any]: ...


@runtime_checkable
class Loss(Protocol):
    """Runs the network on a batch and says how wrong it is. A frozen dataclass, so that a run can write down its weights."""

    def __call__(
        self, model: WrappedNetwork, crop: TrainingCrop, joints_in: Float[Tensor, "B 21 2"] | None, generator: torch.Generator
    ) -> Losses: ...


JointsIn = Callable[[TrainingCrop, torch.Generator], Float[Tensor, "B 21 2"]]
"""Makes the 2D joints that HandGCAT is given in training from a batch; a frozen dataclass. Called on the CPU."""


@dataclass(frozen=True)
class NoisyJoints:
    """The annotated joints with the released noise."""

    noise: JointNoise = field(default_factory=JointNoise)

    def __call__(self, crop: TrainingCrop, generator: torch.Generator) -> Float[Tensor, "B 21 2"]:
        """0..1 over the crop."""
        return self.noise(crop.joints_crop, generator)


@dataclass(frozen=True)
class ReleasedLoss:
    """The loss of both released networks."""

    weights: LossConfig = field(default_factory=LossConfig)

    def __call__(
        self, model: WrappedNetwork, crop: TrainingCrop, joints_in: Float[Tensor, "B 21 2"] | None, generator: torch.Generator
    ) -> HandLosses:
        """Squared errors; nothing is drawn from `generator`."""
        inputs, flat = ModelInput(crop.image, joints_in), model.config.flat_hand_mean
        pose = crop.pose if flat else torch.cat([crop.pose[:, :3], crop.pose[:, 3:] - model.hand.hands_mean], dim=1)
        return hand_losses(model(inputs), ModelTarget(pose, crop.betas, crop.joints_crop), inputs, model.hand, flat, self.weights)


class JointLosses(NamedTuple):
    """The terms, already weighted."""

    joints: Float[Tensor, ""]
    betas: Float[Tensor, ""]
    joints_crop: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """Their sum."""
        return self.joints + self.betas + self.joints_crop


@dataclass(frozen=True)
class JointsOnlyLoss:
    """For FPHA, which annotates joints alone. No code for it was released: the released weights of what is left, on root-relative joints.

    Shape is drawn to the mean, since joints do not tell it from pose well.
    """

    weights: LossConfig = field(default_factory=LossConfig)

    def __call__(
        self, model: WrappedNetwork, crop: TrainingCrop, joints_in: Float[Tensor, "B 21 2"] | None, generator: torch.Generator
    ) -> JointLosses:
        """Squared errors; nothing is drawn from `generator`."""
        output = model(ModelInput(crop.image, joints_in))
        return JointLosses(
            joints=self.weights.joints * mse_loss(relative_to(output.joints), relative_to(crop.joints_cam)),
            betas=self.weights.betas * output.betas.square().mean(),
            joints_crop=self.weights.joints_crop * mse_loss(output.joints_crop, crop.joints_crop),
        )


@dataclass(frozen=True)
class StepDecay:
    """The rate is multiplied by `factor` after every `epochs` epochs."""

    factor: float
    epochs: int

    def __call__(self, epoch: float, total: float) -> float:
        """Factor of the learning rate at a fractional epoch."""
        return self.factor ** (int(epoch) // self.epochs)


@dataclass(frozen=True)
class Cosine:
    """A linear rise, then half a cosine down."""

    warmup: float = 0.02
    """Share of the run."""
    final: float = 0.01
    """Of the rate, at the end."""

    def __call__(self, epoch: float, total: float) -> float:
        """Factor of the learning rate at a fractional epoch."""
        done = min(1.0, epoch / total)
        if done < self.warmup:
            return max(done / self.warmup, 1e-3)
        phase = (done - self.warmup) / (1 - self.warmup)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * phase))


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights of a run, but for the data on disk and the seed."""

    model: str
    """Preset of the network."""
    data: str
    """Data set, as `create_dataset` knows it."""
    train_split: str | None
    val_split: str | None
    """None: no validation. `open-val` is generated where it is not found beside the training data."""
    licence: str
    """Of the weights."""
    hand: str = "mano"
    """Whose pose and shape the annotations are."""
    loss: Loss = ReleasedLoss()
    joints_in: JointsIn = NoisyJoints()
    """2D joints for networks that take them."""
    val_joints_in: JointsIn | None = None
    """Those of validation, always the same; None: drawn as in training."""
    augmentation: Augmentation = RELEASED
    imagenet: bool = True
    """Whether the ResNet starts from ImageNet weights."""
    needs_pose: bool = True
    """Whether the loss uses pose and betas; if so, samples without them are refused."""

    optimiser: Literal["adam", "adamw"] = "adam"
    lr: float = 1e-4
    weight_decay: float = 0.0
    schedule: StepDecay | Cosine = StepDecay(0.7, 10)
    epochs: float = 70.0
    batch: int = 16
    """Crops per process and pass."""
    clip: float | None = None
    """Norm at which gradients are cut."""
    ema: float | None = None
    """Decay of the average of weights that is validated and kept, instead of the last weights."""

    def __post_init__(self) -> None:
        if not (0 < self.epochs < math.inf and 0 < self.lr < math.inf and self.batch >= 1):
            given = f"epochs {self.epochs:g}, lr {self.lr:g}, batch {self.batch}"
            raise ValueError(f"{given}: expected finite numbers above 0, and a batch of at least 1.")
        if not ((self.clip is None or self.clip > 0) and (self.ema is None or 0 <= self.ema < 1) and self.weight_decay >= 0):
            given = f"clip {self.clip}, ema {self.ema}, weight_decay {self.weight_decay:g}"
            raise ValueError(f"{given}: expected a clip above 0 or None, an ema from 0 to below 1 or None, a decay of at least 0.")


_RESEARCH = "research only, as its training data"
_CLEAN_JOINTS = NoisyJoints(JointNoise(probability=0.0))
_HO3D = Recipe("handoccnet", "ho3d_v2", "train", "evaluation", f"{_RESEARCH} (HO-3D)")
_DEXYCB = replace(
    _HO3D,
    data="dexycb",
    train_split="s0_train",
    val_split="s0_val",
    licence=f"{_RESEARCH} (DexYCB, CC BY-NC 4.0)",
    schedule=StepDecay(0.9, 1),
    epochs=25.0,
)
_HANDGCAT = replace(_HO3D, model="handgcat", batch=32)
_OPEN_S = Recipe(
    "handoccnet-open-s",
    "folder",
    None,
    "open-val",
    "Apache-2.0",
    hand="open",
    loss=OpenLoss(),  # paints over whole batches, which is cheaper than degrading crop by crop
    joints_in=DetectorErrors(),
    val_joints_in=FixedErrors(),
    augmentation=Augmentation(JitterRange(rotation_deg=90.0, rotation_probability=1.0, colour=0.0)),
    imagenet=False,
    optimiser="adamw",
    lr=1e-3,
    weight_decay=1e-4,
    schedule=Cosine(),
    epochs=30.0,
    batch=64,
    clip=1.0,
    ema=0.999,
)
# The released networks at their own size, with the lifter and the heads that our loss trains; for a GPU.
_OPEN = replace(_OPEN_S, model="handoccnet-open", imagenet=True, lr=3e-4)

RECIPES: dict[str, Recipe] = {
    "handoccnet-ho3d-v2": _HO3D,
    "handoccnet-dexycb": _DEXYCB,
    "handoccnet-fpha": replace(
        _HO3D,
        data="fpha",
        train_split="action_train",
        val_split="action_test",
        licence=f"{_RESEARCH} (FPHA)",
        loss=JointsOnlyLoss(),
        needs_pose=False,
    ),
    "handgcat-ho3d-v2": _HANDGCAT,
    "handgcat-ho3d-v3": replace(_HANDGCAT, data="ho3d_v3", joints_in=_CLEAN_JOINTS),
    "handgcat-dexycb": replace(_DEXYCB, model="handgcat", batch=32, val_split="s0_test", joints_in=_CLEAN_JOINTS),
    "handoccnet-open-s": _OPEN_S,
    "handgcat-open-s": replace(_OPEN_S, model="handgcat-open-s"),
    "handoccnet-open": _OPEN,
    "handgcat-open": replace(_OPEN, model="handgcat-open"),
}
"""`handgcat-ho3d-v2` asks for clean 2D joints; the release for the noisy ones it was given, which is
`replace(recipe, loss=ReleasedLoss(LossConfig(joints_crop_target="input")))`."""


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: Unknown; the message lists the near ones.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=4, cutoff=0.4) or list(RECIPES)
        raise ValueError(f"Unknown recipe {name!r}; near: {', '.join(near)}.")
    return RECIPES[name]


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """Plain values; parts that could be of several types say which they are."""
    return {part.name: _plain(getattr(recipe, part.name)) for part in fields(recipe)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__} | {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    return list(map(_plain, value)) if isinstance(value, tuple) else value
