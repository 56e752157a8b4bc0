"""HandGCAT (Wang et al., ICME 2023), in the order of its Figure 2.

2D joints become 21 maps of prior knowledge (KGC), the image becomes a feature map, the two attend to each other (CAT), and the
regressor reads the hand from the result. Config fields name what differs between the paper and its released code; the defaults are
the released code.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occhand.hand.hand_layer import HandLayer
from occhand.models.attention import Attention, FeedForward, PositionEmbedding
from occhand.models.backbone import Trunk
from occhand.models.config import HandGCATConfig
from occhand.models.graph import chebyshev, hand_adjacency, laplacian
from occhand.models.hourglass import NUM_JOINTS
from occhand.models.input_check import check_input
from occhand.models.mano_head import Regressor
from occhand.types import ModelInput, ModelOutput


class HandGCAT(nn.Module):
    """One crop and its 2D joints to one hand mesh."""

    def __init__(self, config: HandGCATConfig, hand: HandLayer) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config)
        self.kgc = KGC(config)
        self.cat = CAT(config)
        self.regressor = Regressor(config, hand)

    @property
    def hand(self) -> HandLayer:
        """The layer that makes the mesh."""
        return self.regressor.mano_head.hand

    def fuse(self) -> HandGCAT:
        """A copy for inference that does less work for the same numbers; see `occhand.models.fuse`."""
        from occhand.models.fuse import fuse  # it exchanges parts of this file

        return fuse(self)

    def forward(self, inputs: ModelInput) -> ModelOutput:
        """The hand in each crop.

        Raises:
            ValueError: No 2D joints; crops of another size, not 0..1, not finite, or none.
        """
        check_input(inputs, self.config, check_values=not self.training)
        image = self.trunk(inputs.image)
        if self.config.inputs_may_miss:
            image = image * (inputs.image.amax((1, 2, 3), keepdim=True) > 0)
        pose = self.kgc(inputs.joints_crop)
        return self.regressor(self.cat(image, pose), image, inputs.joints_crop)


_FAR_AWAY = -9.0
"""Sides of the crop, from where a joint leaves nothing in its map."""


class KGC(nn.Module):
    """Knowledge-guided graph convolution: each 2D joint becomes one map of the size of the image feature."""

    def __init__(self, config: HandGCATConfig) -> None:
        super().__init__()
        self.map_size, pixels = config.map_size, config.map_size**2
        # Released: 1024, 2048, 2048, 1024 features after its four layers; other depths are assumed to follow it.
        hidden = [pixels, *[2 * pixels] * (config.kgc_layers - 2)]
        self.may_miss, self.splats = config.inputs_may_miss, config.kgc_splat
        widths = pairwise([3 if self.may_miss else 2, *hidden[: config.kgc_layers - 1], pixels])
        is_graph = config.kgc == "graph"
        self.layers = nn.ModuleList(GraphLayer(*pair, config) if is_graph else nn.Linear(*pair) for pair in widths)
        self.activation = nn.Identity() if is_graph and config.kgc_activation == "none" else nn.ReLU()

    def forward(self, joints_crop: Float[Tensor, "B 21 2"]) -> Float[Tensor, "B 21 h w"]:
        """The joints' maps."""
        x = joints_crop
        if self.may_miss:
            known = joints_crop.isfinite().all(-1, keepdim=True)
            x = torch.cat([torch.where(known, joints_crop, 0.0), known.to(joints_crop)], dim=-1)
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        maps = self.layers[-1](x).unflatten(2, (self.map_size, self.map_size))
        return maps + self._bumps(joints_crop) if self.splats else maps

    def _bumps(self, joints_crop: Float[Tensor, "B 21 2"]) -> Float[Tensor, "B 21 h w"]:
        """A Gaussian of one pixel's width at each joint; nothing where the joint is not known."""
        centres = (torch.arange(self.map_size, device=joints_crop.device, dtype=joints_crop.dtype) + 0.5) / self.map_size
        known = joints_crop.isfinite().all(-1, keepdim=True)
        places = torch.where(known, joints_crop, _FAR_AWAY)  # before the exponential: in OpenVINO that of NaN is a number
        along_x, along_y = (torch.exp(-0.5 * (self.map_size * (places[..., k, None] - centres)).square()) for k in (0, 1))
        return along_y[..., :, None] * along_x[..., None, :]


class GraphLayer(nn.Module):
    """Chebyshev graph convolution: each joint's features from its neighbourhood's, then batch norm. Order 1 is the joint alone."""

    polynomials: Tensor

    def __init__(self, features_in: int, features_out: int, config: HandGCATConfig) -> None:
        super().__init__()
        L = laplacian(hand_adjacency(config.kgc_graph), config.kgc_laplacian)
        self.register_buffer("polynomials", chebyshev(L, config.kgc_order), persistent=False)
        self.linear = nn.Linear(config.kgc_order * features_in, features_out)
        self.bn = nn.BatchNorm1d(features_out)

    def forward(self, joints: Float[Tensor, "B 21 features_in"]) -> Float[Tensor, "B 21 features_out"]:
        """The joints' next features."""
        mixed = torch.cat([joints, *(T @ joints for T in self.polynomials[1:])], dim=-1)
        return self.bn(self.linear(mixed).flatten(0, 1)).unflatten(0, (-1, NUM_JOINTS))


class CAT(nn.Module):
    """Cross-attention transformer: image and pose maps ask each other, then become one map."""

    def __init__(self, config: HandGCATConfig) -> None:
        super().__init__()
        c = config.channels
        self.blocks = nn.ModuleList(CATBlock(config) for _ in range(config.cat_blocks))
        self.fuse: nn.Module = nn.Conv2d(c + NUM_JOINTS, c, 1)
        if config.cat_output == "conv_norm_relu":
            self.fuse = nn.Sequential(self.fuse, nn.BatchNorm2d(c, momentum=0.01), nn.ReLU())

    def forward(self, image: Float[Tensor, "B C h w"], pose: Float[Tensor, "B 21 h w"]) -> Float[Tensor, "B C h w"]:
        """The image feature, informed by the pose."""
        for block in self.blocks:
            image, pose = block(image, pose)
        return self.fuse(torch.cat([image, pose], dim=1))


class CATBlock(nn.Module):
    """The image asks the pose, and the pose the image."""

    def __init__(self, config: HandGCATConfig) -> None:
        super().__init__()
        self.order = config.cat_order
        self.image_from_pose = ChannelTransformer(config, config.channels, NUM_JOINTS)
        if self.order != "image_only":
            self.pose_from_image = ChannelTransformer(config, NUM_JOINTS, config.channels)

    def forward(
        self, image: Float[Tensor, "B C h w"], pose: Float[Tensor, "B 21 h w"]
    ) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B 21 h w"]]:
        """Both maps, updated."""
        updated = self.image_from_pose(query=image, key=pose)
        if self.order == "image_only":
            return updated, pose
        return updated, self.pose_from_image(query=pose, key=updated if self.order == "sequential" else image)


class ChannelTransformer(nn.Module):
    """Attention whose tokens are **channels**: the 1x1 convolutions mix tokens, and what is compared are whole maps."""

    def __init__(self, config: HandGCATConfig, query_channels: int, key_channels: int) -> None:
        super().__init__()
        size = config.map_size
        self.query_position = PositionEmbedding(query_channels, size, config.cat_embedding)
        self.key_position = PositionEmbedding(key_channels, size, config.cat_embedding)
        self.encode_query = nn.Conv2d(query_channels, query_channels, 1)
        self.encode_key = nn.Conv2d(key_channels, key_channels, 1)
        self.encode_value = nn.Conv2d(key_channels, key_channels, 1)
        self.attention = Attention(config.cat_heads)
        self.residual, self.mlp_form = config.cat_residual, config.cat_mlp
        if self.mlp_form == "norm_residual":
            self.norm = nn.LayerNorm(size**2)
        self.mlp = FeedForward(size**2)

    def forward(self, query: Float[Tensor, "B queries h w"], key: Float[Tensor, "B keys h w"]) -> Float[Tensor, "B queries h w"]:
        """The query maps, updated from the key maps."""
        q = self.query_position(query, self.encode_query).flatten(2)
        k = self.key_position(key, self.encode_key).flatten(2)
        received = self.attention(q, k, self.encode_value(key).flatten(2))
        h = (query.flatten(2) if self.residual == "input" else q) + received
        updated = h + self.mlp(self.norm(h)) if self.mlp_form == "norm_residual" else self.mlp(h)
        return updated.unflatten(2, query.shape[-2:])
