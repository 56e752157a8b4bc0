"""The regressor of both networks: feature map to heat maps, to a vector, to hand parameters, to the mesh."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from occhand.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle, sixd_to_matrix
from occhand.hand.hand_layer import HandLayer
from occhand.hand.skeleton import HOUSE_FROM_HO3D, NUM_BETAS
from occhand.models.backbone import NEGATIVE_SLOPE
from occhand.models.config import HandGCATConfig, ModelConfig
from occhand.models.hourglass import NUM_JOINTS, HeatmapHead, Heatmaps, PreActivation
from occhand.models.joint_heads import SightHead, SigmaHead
from occhand.models.lifter import NUM_ROTATIONS, LiftedHand, Lifter, heatmap_evidence
from occhand.models.precision import full_precision
from occhand.types import ModelOutput


class Regressor(nn.Module):
    """Everything after the networks' own modules: 2D head, encoder, hand parameters, hand layer."""

    def __init__(self, config: ModelConfig, hand: HandLayer) -> None:
        super().__init__()
        self.heatmap_head = HeatmapHead(config)
        self.sight = SightHead(config, numbers_known=4 * NUM_JOINTS) if config.joint_heads else None
        self.lifter = None if config.lifter == "none" else Lifter(config, takes_joints=isinstance(config, HandGCATConfig))
        self.encoder = Encoder(config)
        self.mano_head = ManoHead(config, hand)

    def forward(
        self,
        features: Float[Tensor, "B C h w"],
        trunk_features: Float[Tensor, "B C h w"],
        joints_crop: Float[Tensor, "B 21 2"] | None = None,
    ) -> ModelOutput:
        """The hand seen in a feature map.

        Args:
            features: What the network's own modules made of the trunk's.
            trunk_features: Those themselves, for what is said of each joint.
            joints_crop: The 2D joints that the network was given, for a lifter.
        """
        heatmaps = self.heatmap_head(features)
        if self.sight is None and self.lifter is None:
            return self.mano_head(self.encoder(features, heatmaps), heatmaps)
        with full_precision(features):
            evidence = heatmap_evidence(heatmaps, joints_crop)
            if self.sight is not None:
                evidence = evidence._replace(sight=self.sight(trunk_features.to(heatmaps.probabilities), heatmaps, evidence.own_numbers()))
            lifted = None if self.lifter is None else self.lifter(evidence, self.mano_head.hand)
        output = self.mano_head(self.encoder(features, heatmaps), heatmaps, lifted)
        if evidence.sight is None:
            return output
        seen, depth, spread = evidence.sight
        return output._replace(joint_visibility=torch.sigmoid(seen), joint_depth=depth, joint_depth_sigma=spread)


class Encoder(nn.Module):
    """Features and heat maps to one vector, by residual blocks and halvings."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input = config.encoder_input
        channels = config.encoder_channels
        if self.input == "sum_hourglass_heatmaps":
            self.encode_heatmaps = nn.Conv2d(NUM_JOINTS, channels, 1)
            self.encode_features = nn.Conv2d(config.channels, channels, 1)
        else:
            self.encode_both = nn.Conv2d(config.channels + NUM_JOINTS, channels, 1)
        per_level = config.encoder_blocks_per_level
        self.levels = nn.ModuleList(
            nn.Sequential(*(PreActivation(channels) for _ in range(per_level))) for _ in range(config.encoder_levels)
        )

    def forward(self, features: Float[Tensor, "B C h w"], heatmaps: Heatmaps) -> Float[Tensor, "B encoded"]:
        """The vector, channel by channel."""
        if self.input == "sum_hourglass_heatmaps":
            z = self.encode_heatmaps(heatmaps.probabilities) + self.encode_features(heatmaps.features)
        else:
            z = self.encode_both(torch.cat([features, heatmaps.probabilities], dim=1))
        for level in self.levels:
            z = max_pool2d(level(z), 2)
        return z.flatten(1)


class ManoHead(nn.Module):
    """A vector to pose and shape, and those to the mesh."""

    def __init__(self, config: ModelConfig, hand: HandLayer) -> None:
        super().__init__()
        wide, narrow = config.head_widths
        has_lifter = config.lifter != "none"
        self.norm = nn.LayerNorm(config.encoded_numbers) if has_lifter else nn.Identity()
        numbers = config.encoded_numbers + (config.lifter_width if has_lifter else 0)
        self.hidden = nn.Sequential(
            nn.Linear(numbers, wide), nn.LeakyReLU(NEGATIVE_SLOPE), nn.Linear(wide, narrow), nn.LeakyReLU(NEGATIVE_SLOPE)
        )
        self.pose = nn.Linear(narrow, NUM_ROTATIONS * config.rotation_numbers)
        self.shape = nn.Linear(narrow, NUM_BETAS)
        self.sigma = SigmaHead(config) if config.joint_heads else None
        self.pose_output, self.flat_hand_mean, self.joints_from = config.pose_output, config.flat_hand_mean, config.joints_from
        self.hand = hand

    def forward(self, encoded: Float[Tensor, "B encoded"], heatmaps: Heatmaps, lifted: LiftedHand | None = None) -> ModelOutput:
        """The posed hand, turned further from the lifted one if there is one; `heatmaps` pass through to the output."""
        encoded = self.norm(encoded)
        hidden = self.hidden(encoded if lifted is None else torch.cat([encoded, lifted.hidden.to(encoded)], dim=1))
        numbers, betas = self.pose(hidden), self.shape(hidden)
        sigma = None if self.sigma is None else self.sigma(heatmaps, hidden)
        with full_precision(encoded):
            dtype = self.pose.weight.dtype
            output = self._pose_hand(numbers.to(dtype).unflatten(1, (NUM_ROTATIONS, -1)), betas.to(dtype), heatmaps, lifted)
        return output if sigma is None else output._replace(joint_sigma=sigma.to(dtype))

    def _pose_hand(
        self, raw: Float[Tensor, "B 16 numbers"], betas: Float[Tensor, "B 10"], heatmaps: Heatmaps, lifted: LiftedHand | None
    ) -> ModelOutput:
        if lifted is not None:
            # Added to the six numbers, a correction would do less the longer they have grown; a rotation turns by what it says.
            rotations = lifted.rotations @ sixd_to_matrix(raw)
            pose, betas = matrix_to_axis_angle(rotations).flatten(1), lifted.betas + betas
        elif self.pose_output == "rotation_6d":
            rotations = sixd_to_matrix(raw)
            pose = matrix_to_axis_angle(rotations).flatten(1)
        else:
            rotations, pose = axis_angle_to_matrix(raw), raw.flatten(1)
        # Released: the mean pose is added to axis-angles, so rotations pass through them. Without it they need not.
        posed_rotations = rotations if self.flat_hand_mean else self.hand.rotations_from_axis_angle(pose, flat_hand_mean=False)
        posed = self.hand(posed_rotations, betas)
        return ModelOutput(
            vertices=posed.vertices,
            joints=posed.joints if self.joints_from == "chain" else self._regressed_joints(posed.vertices),
            joints_crop=heatmaps.joints_crop,
            rotations=rotations,
            betas=betas,
            pose=pose,
            transforms=posed.transforms,
            heatmaps=heatmaps.probabilities,
        )

    def _regressed_joints(self, vertices: Float[Tensor, "B V 3"]) -> Float[Tensor, "B 21 3"]:
        tips = vertices[:, list(self.hand.tip_ids)]
        return torch.cat([self.hand.J_regressor @ vertices, tips], dim=1)[:, list(HOUSE_FROM_HO3D)]
