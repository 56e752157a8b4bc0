"""Both released networks against the authors' code: outputs, inner maps, losses, gradients, running statistics."""

import numpy as np
import pytest
import torch

from occhand.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle, sixd_to_matrix
from occhand.hand.hand_layer import HandLayer
from occhand.losses import LossConfig, hand_losses
from occhand.models.released_keys import released_prefixes, renamed
from occhand.types import ModelTarget
from tests.golden.networks import golden_recipe
from tests.golden.networks.compare import compare

FOLDER = "tests/golden/networks"
LOSS = {  # HandGCAT's released code asks for its own 2D input
    "handoccnet": LossConfig(),
    "handgcat": LossConfig(joints_crop_target="input"),
}
PROBES = {
    "handoccnet": {
        "backbone.layer0": "trunk.resnet.maxpool",
        **{f"backbone.layer{k}": f"trunk.resnet.layer{k}" for k in (1, 2, 3, 4)},
        "backbone.toplayer": "trunk.pyramid.top",
        "backbone.smooth3": "trunk.smooth",
        "backbone.pool": "trunk.pool",
        "backbone.attention_module.spatial": "necessity",
        "FIT.layers.0.attn": "fit.blocks.0.attention",
        "FIT.layers.0": "fit.blocks.0",
        "FIT.layers.1": "fit.blocks.1",
        "FIT.conv1": "fit.fuse",
        "FIT.conv2": "fit.shortcut",
        "FIT": "fit",
        "SET.layers.0.attn": "set.0.blocks.0.attention",
        "SET.layers.0": "set.0.blocks.0",
        "SET.layers.1": "set.0.blocks.1",
        "SET": "set",
    },
    "handgcat": {
        "backbone.layer4": "trunk.resnet.layer4",
        "backbone.pool": "trunk.pool",
        "KGC.bn.0": "kgc.layers.0.bn",
        "KGC.bn.3": "kgc.layers.3.bn",
        "KGC": "kgc",
        "CAT.layers.0.transformer1.layers.0.attn": "cat.blocks.0.image_from_pose.attention",
        **{
            f"CAT.layers.{k}.transformer{n}": f"cat.blocks.{k}.{ours}"
            for k in (0, 1)
            for n, ours in ((1, "image_from_pose"), (2, "pose_from_image"))
        },
        "CAT.fusion_conv": "cat.fuse",
        "CAT": "cat",
    },
}
REGRESSOR_PROBES = {
    "regressor.hand_regHead.hg.0": "regressor.heatmap_head.hourglass",
    "regressor.hand_regHead.res.0": "regressor.heatmap_head.refine",
    "regressor.hand_regHead.fc.0": "regressor.heatmap_head.project",
    "regressor.hand_regHead.score.0": "regressor.heatmap_head.score",
    "regressor.hand_regHead.softmax": "regressor.heatmap_head.softmax",
    "regressor.hand_Encoder.heatmap_conv": "regressor.encoder.encode_heatmaps",
    "regressor.hand_Encoder.encoding_conv": "regressor.encoder.encode_features",
    "regressor.hand_Encoder": "regressor.encoder",
    "regressor.mano_regHead.mano_base_layer": "regressor.mano_head.hidden",
    "regressor.mano_regHead.pose_reg": "regressor.mano_head.pose",
}


def eval_outputs(net, model, inputs):
    """Outputs, and what passed at each place that the goldens look at."""
    seen, handles = {}, []
    for released_name, ours in (PROBES[net] | REGRESSOR_PROBES).items():
        hook = lambda module, args, output, name=released_name: seen.__setitem__(name, output)  # noqa: E731
        handles.append(model.get_submodule(ours).register_forward_hook(hook))
    if net == "handoccnet":  # FIT is given the two returned maps
        keep = lambda module, args: seen.update({"backbone.primary": args[0], "backbone.secondary": args[1]})  # noqa: E731
        handles.append(model.fit.register_forward_pre_hook(keep))
    with torch.no_grad():
        output = model(inputs)
    for handle in handles:
        handle.remove()
    mine = {
        "eval/mano_pose_rotmat": output.rotations,
        "eval/mano_pose_aa": output.pose,
        "eval/mano_shape": output.betas,
        "eval/joints_img": output.joints_crop,
        "eval/joints_cam": output.joints,
        "eval/verts_cam": output.vertices,
        "eval/manojoints2cam": output.transforms,
    }
    return mine, seen


def targets(batch):
    arrays = {key: torch.from_numpy(value) for key, value in golden_recipe.targets(batch).items()}
    return ModelTarget(arrays["mano_pose"], arrays["mano_shape"], arrays["joints_img"])


def losses(net, model, inputs):
    return hand_losses(model(inputs), targets(len(inputs.image)), inputs, model.hand, model.config.flat_hand_mean, LOSS[net])


def as_array(terms):
    """In the goldens' order."""
    return np.array([term.item() for term in (terms.joints_crop, terms.joints, terms.rotations, terms.betas, terms.vertices)])


@pytest.mark.parametrize("net", golden_recipe.NETS)
def test_every_golden_number(net, released, recipe_weights, golden_inputs, golden_parameters):
    golden = dict(np.load(f"{FOLDER}/{net}.npz"))
    model = released[net]
    prefixes = released_prefixes(model.config)
    mine, seen = eval_outputs(net, model, golden_inputs(2))
    order = [name.removeprefix("probe/") for name in golden if name.startswith("probe/")]
    mine |= {f"probe/{name}": golden_recipe.sample(seen[name]) for name in order}
    mine["probe_std"] = np.array([float(seen[name].std(correction=0)) for name in order if not name.endswith("ary")])

    hand = HandLayer(golden_parameters)
    flat = net == "handgcat"
    pose, betas = (torch.from_numpy(a).float() for a in golden_recipe.mano_inputs())
    posed = hand(hand.rotations_from_axis_angle(pose, flat), betas)
    mine |= {"mano/verts_mm": 1e3 * posed.vertices[:, ::3], "mano/joints_mm": 1e3 * posed.joints}
    six = sixd_to_matrix(torch.from_numpy(golden_recipe.rot_inputs()).float())
    mine |= {"rot/mat": six, "rot/aa": matrix_to_axis_angle(six), "rot/rodrigues": axis_angle_to_matrix(pose.reshape(-1, 3))}

    terms = losses(net, model, golden_inputs(2))
    terms.total.backward()
    mine["loss_eval_bn"] = as_array(terms)
    kinds = {key: kind for key, _, _, kind in golden_recipe.read_tsv(net)}
    trained = sorted(key for key, kind in kinds.items() if kind == "param")
    parameters = dict(model.named_parameters())
    grads = [parameters[ours].grad if (ours := renamed(key, prefixes)) in parameters else None for key in trained]
    mine["grad_norm"] = np.array([0.0 if g is None else float(g.double().norm()) for g in grads])
    mine["grad_is_none"] = np.array([g is None for g in grads])

    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.zero_grad(set_to_none=True)
    model.train()
    with torch.no_grad():
        mine["loss_train_bn"] = as_array(losses(net, model, golden_inputs(4)))
    after = model.state_dict()
    running = sorted(key for key in kinds if key.endswith(("running_mean", "running_var")))
    # A layer that is never called keeps the statistics of the recipe.
    mine["bn_after_1"] = np.array([float(after.get(renamed(key, prefixes), recipe_weights[net][key]).mean()) for key in running])
    model.load_state_dict(before)
    model.eval()
    mine = {name: value.detach().numpy() if isinstance(value, torch.Tensor) else value for name, value in mine.items()}
    assert compare(golden, mine) == 0
