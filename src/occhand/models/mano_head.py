"""The regressor of both networks: feature map to heat maps, to a vector, to hand parameters, to the mesh."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from occhand.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle, sixd_to_matrix
from occhand.hand.hand_layer import HandLayer
from occhand.hand.skeleton import HOUSE_FROM_HO3D, MANO_JOINT_NAMES, NUM_BETAS
from occhand.models.backbone import NEGATIVE_SLOPE
from occhand.models.config import ModelConfig
from occhand.models.hourglass import NUM_JOINTS, HeatmapHead, Heatmaps, PreActivation
from occhand.types import ModelOutput

NUM_ROTATIONS = len(MANO_JOINT_NAMES)


class Regressor(nn.Module):
    """Everything after the networks' own modules: 2D head, encoder, hand parameters, hand layer."""

    def __init__(self, config: ModelConfig, hand: HandLayer) -> None:
        super().__init__()
        self.heatmap_head = HeatmapHead(config)
        self.encoder = Encoder(config)
        self.mano_head = ManoHead(config, hand)

    def forward(self, features: Float[Tensor, "B C h w"]) -> ModelOutput:
        """The hand seen in a feature map."""
        heatmaps = self.heatmap_head(features)
        return self.mano_head(self.encoder(features, heatmaps), heatmaps)


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
        self.hidden = nn.Sequential(
            nn.Linear(config.encoded_numbers, wide), nn.LeakyReLU(NEGATIVE_SLOPE), nn.Linear(wide, narrow), nn.LeakyReLU(NEGATIVE_SLOPE)
        )
        self.pose = nn.Linear(narrow, NUM_ROTATIONS * config.rotation_numbers)
        self.shape = nn.Linear(narrow, NUM_BETAS)
        self.pose_output, self.flat_hand_mean, self.joints_from = config.pose_output, config.flat_hand_mean, config.joints_from
        self.hand = hand

    def forward(self, encoded: Float[Tensor, "B encoded"], heatmaps: Heatmaps) -> ModelOutput:
        """The posed hand; `heatmaps` pass through to the output."""
        hidden = self.hidden(encoded)
        raw, betas = self.pose(hidden).unflatten(1, (NUM_ROTATIONS, -1)), self.shape(hidden)
        if self.pose_output == "rotation_6d":
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
