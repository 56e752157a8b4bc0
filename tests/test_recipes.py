"""Recipes: the released numbers, losses held against the goldens, and every entry usable."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from occhand.data.datasets import DATASETS
from occhand.data.transforms import TrainingCrop
from occhand.losses import LossConfig
from occhand.models.presets import PRESETS, create_model
from occhand.models.released_keys import released_prefixes, renamed
from occhand.recipes import RECIPES, Cosine, JointsOnlyLoss, ReleasedLoss, StepDecay, find_recipe, recipe_to_json
from occhand.synth.dataset import SPLITS
from occhand.types import ModelInput
from tests.golden.networks import golden_recipe
from tests.golden.networks.compare import compare
from tests.models.conftest import golden_hand, golden_inputs, recipe_weights, released, small  # noqa: F401 (fixtures)
from tests.models.test_golden import as_array, targets


def crop_of(inputs, target, hand, flat):
    """The golden batch as the loader gives one: the mean pose is part of the pose."""
    batch = len(inputs.image)
    pose = target.pose if flat else torch.cat([target.pose[:, :3], target.pose[:, 3:] + hand.hands_mean], dim=1)
    return TrainingCrop(
        image=inputs.image,
        joints_crop=target.joints_crop,
        joints_cam=torch.zeros(batch, 21, 3),
        joints_visible=torch.ones(batch, 21, dtype=torch.bool),
        K=torch.eye(3).expand(batch, 3, 3),
        pose=pose,
        betas=target.betas,
        is_mirrored=torch.zeros(batch, dtype=torch.bool),
    )


@pytest.mark.parametrize("net", golden_recipe.NETS)
def test_losses_and_gradients_agree_with_the_release(net, released, golden_inputs):  # noqa: F811
    golden = dict(np.load(f"tests/golden/networks/{net}.npz"))
    model, inputs = released[net], golden_inputs(2)
    loss = RECIPES[f"{net}-ho3d-v2"].loss
    if net == "handgcat":  # the release asks for the noisy joints that it gave
        loss = ReleasedLoss(LossConfig(joints_crop_target="input"))
    model.zero_grad(set_to_none=True)
    crop = crop_of(inputs, targets(2), model.hand, model.config.flat_hand_mean)
    terms = loss(model, crop, inputs.joints_crop, torch.Generator())
    terms.total.backward()
    kinds = {key: kind for key, _, _, kind in golden_recipe.read_tsv(net)}
    parameters, prefixes = dict(model.named_parameters()), released_prefixes(model.config)
    trained = sorted(key for key, kind in kinds.items() if kind == "param")
    grads = [parameters[ours].grad if (ours := renamed(key, prefixes)) in parameters else None for key in trained]
    mine = {"loss_eval_bn": as_array(terms), "grad_norm": np.array([0.0 if g is None else float(g.double().norm()) for g in grads])}
    model.zero_grad(set_to_none=True)
    assert compare({name: golden[name] for name in mine}, mine) == 0


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_what_exists(name):
    recipe = RECIPES[name]
    assert recipe.model in PRESETS
    info = DATASETS[recipe.data]
    assert recipe.train_split in (info.splits or (None,))
    assert recipe.val_split is None or recipe.val_split in (*info.splits, *SPLITS)
    json.dumps(recipe_to_json(recipe))


def released_rates(name, epochs):
    recipe = RECIPES[name]
    assert recipe.epochs == len(epochs)
    assert recipe.clip is None
    assert recipe.optimiser == "adam"
    return [recipe.lr * recipe.schedule(epoch + 0.5, recipe.epochs) for epoch in epochs]


def test_released_schedules():
    """At epochs 10, 20, ... 60 times 0.7; or after every epoch times 0.9."""
    for name in ("handoccnet-ho3d-v2", "handgcat-ho3d-v2", "handgcat-ho3d-v3"):
        expected = [1e-4 * 0.7 ** (epoch // 10) for epoch in range(70)]
        np.testing.assert_allclose(released_rates(name, range(70)), expected, rtol=1e-12)
    for name in ("handoccnet-dexycb", "handgcat-dexycb"):
        np.testing.assert_allclose(released_rates(name, range(25)), [1e-4 * 0.9**epoch for epoch in range(25)], rtol=1e-12)


def test_released_batches_and_noise():
    assert {RECIPES[name].batch for name in RECIPES if name.startswith("handoccnet") and "open" not in name} == {16}
    assert {RECIPES[name].batch for name in RECIPES if name.startswith("handgcat") and "open" not in name} == {32}
    noise = {name: RECIPES[name].joints_in.noise for name in ("handgcat-ho3d-v2", "handgcat-ho3d-v3", "handgcat-dexycb")}
    assert (noise["handgcat-ho3d-v2"].sigma, noise["handgcat-ho3d-v2"].probability) == (0.01, 0.5)
    assert noise["handgcat-ho3d-v3"].probability == noise["handgcat-dexycb"].probability == 0


def test_validation_and_licences_are_those_of_the_data():
    splits = {name: (recipe.train_split, recipe.val_split) for name, recipe in RECIPES.items() if recipe.data == "dexycb"}
    assert splits == {"handoccnet-dexycb": ("s0_train", "s0_val"), "handgcat-dexycb": ("s0_train", "s0_test")}
    for recipe in RECIPES.values():
        is_ours = recipe.data == "folder"
        assert recipe.licence == "Apache-2.0" if is_ours else recipe.licence.startswith("research only")
        assert recipe.hand == ("open" if is_ours else "mano")


def test_cosine_rises_then_falls():
    schedule = Cosine(warmup=0.1, final=0.01)
    rates = [schedule(epoch, 10.0) for epoch in np.linspace(0, 10, 101)]
    assert np.argmax(rates) == 10
    assert rates[10] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01)
    assert (np.diff(rates[:11]) >= 0).all()
    assert (np.diff(rates[10:]) <= 0).all()
    assert StepDecay(0.5, 2)(5.9, 10.0) == 0.25


def test_joints_alone_are_learned_without_pose():
    PRESETS["tiny"] = replace(PRESETS["handoccnet"], config=small(PRESETS["handoccnet"].config))
    try:
        model = create_model("tiny").train()
    finally:
        del PRESETS["tiny"]
    size = model.config.input_size
    crop = TrainingCrop(
        image=torch.rand(2, 3, size, size),
        joints_crop=torch.rand(2, 21, 2),
        joints_cam=torch.randn(2, 21, 3),
        joints_visible=torch.ones(2, 21, dtype=torch.bool),
        K=torch.eye(3).expand(2, 3, 3),
        pose=torch.full((2, 48), torch.nan),
        betas=torch.full((2, 10), torch.nan),
        is_mirrored=torch.zeros(2, dtype=torch.bool),
    )
    losses = JointsOnlyLoss()(model, crop, None, torch.Generator())
    assert losses.total.isfinite()
    moved = crop._replace(joints_cam=crop.joints_cam + 1.0)  # the wrist's place does not matter
    model.eval()
    same = [JointsOnlyLoss()(model, each, None, torch.Generator()).joints.item() for each in (crop, moved)]
    assert same[0] == pytest.approx(same[1], rel=1e-4)
    output = model(ModelInput(crop.image, None))._replace(betas=torch.arange(20.0).reshape(2, 10))
    losses = JointsOnlyLoss()(lambda inputs: output, crop, None, torch.Generator())
    mine, truth = output.joints - output.joints[:, :1], crop.joints_cam - crop.joints_cam[:, :1]
    expected = [
        1e4 * (mine - truth).square().mean(),
        0.1 * output.betas.square().mean(),
        100 * (output.joints_crop - crop.joints_crop).square().mean(),
    ]
    torch.testing.assert_close(list(losses), expected)
    torch.testing.assert_close(losses.total, sum(expected))
    assert not RECIPES["handoccnet-fpha"].needs_pose


def test_unknown_recipes_list_the_near_ones():
    with pytest.raises(ValueError, match="near: handgcat-dexycb"):
        find_recipe("handgcat-dexyc")
