"""Every preset builds, runs both ways, saves and loads bit-equal, and exports; sizes as the release has them."""

from dataclasses import replace

import jaxtyping
import pytest
import torch

from occhand.models import presets
from occhand.models.checkpoint import load_checkpoint, save_checkpoint
from occhand.models.config import config_from_json, config_to_json
from occhand.models.cost import config_digest, known_costs
from occhand.models.presets import PRESETS, build_model, count_preset, create_model, find_preset, list_models
from occhand.types import ModelInput
from tests.models.conftest import small, small_inputs

# networks.md's counts of the released modules, less the convolution whose result is thrown away
SMOOTH2 = 590_080
SPATIAL_GATE = 100
SHARED = {"regressor.heatmap_head": 3_075_114, "regressor.encoder": 1_787_648, "regressor.mano_head": 1_628_778}
PARAMETERS = {
    "handoccnet": {"trunk": 25_672_356 - SMOOTH2 - SPATIAL_GATE, "necessity": SPATIAL_GATE, "fit": 4_659_968, "set": 2_495_488, **SHARED},
    "handgcat": {"trunk": 25_672_356 - SMOOTH2 - SPATIAL_GATE, "kgc": 8_409_088, "cat": 35_186_900, **SHARED},
}
# Multiply-accumulates of the release, less that convolution (0.604) and, in FIT, the two 1024 x 1024 products that the gate needs not.
GMACS = {"handoccnet": 18.09 - 0.604 - 2 * 0.268, "handgcat": 15.59 - 0.604}


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("net", PARAMETERS)
def test_sizes_are_the_released_ones(net, released):
    model = released[net]
    assert {name: count(model.get_submodule(name)) for name in PARAMETERS[net]} == PARAMETERS[net]
    assert sum(PARAMETERS[net].values()) == count(model)


def test_models_are_listed_with_their_cost():
    models = {model.name: model for model in list_models()}
    assert list(models) == list(PRESETS)
    for net, gmacs in GMACS.items():
        assert models[net].gmacs == pytest.approx(gmacs, abs=0.02)
        assert models[net].parameters == sum(PARAMETERS[net].values())
    assert models["handoccnet-open-s"].input_size == 128
    assert all(model.parameters * 2 < 25e6 for name, model in models.items() if name.endswith("open-s"))  # bundled in half precision


@pytest.mark.parametrize("name", ["handgcat-open-s", pytest.param("all", marks=pytest.mark.slow)])
def test_costs_on_file_are_those_counted(name):
    """A network that changed: `python -m tools.model_costs`."""
    for each in PRESETS if name == "all" else [name]:
        assert known_costs()[config_digest(PRESETS[each].config)] == count_preset(each)


def test_a_preset_that_is_not_on_file_is_counted(monkeypatch):
    """As one is that a user adds in a line."""
    monkeypatch.setattr(presets, "PRESETS", {"mine": PRESETS["handgcat-open-s"]})
    expected = list_models()
    monkeypatch.setattr(presets, "known_costs", dict)
    assert list_models() == expected


def test_presets_are_different_networks():
    configs = [preset.config for preset in PRESETS.values()]
    assert len(set(configs)) == len(configs)


def both_ways(model, inputs):
    """One step of training must reach every weight."""
    model.train()
    output = model(inputs)
    sum(part.square().sum() for part in output if part is not None).backward()
    unreached = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert unreached == []


def equal(output, expected):
    """Number by number; what one network does not say the other must not say."""
    return all(a is b if a is None or b is None else torch.equal(a, b) for a, b in zip(output, expected, strict=True))


@pytest.mark.parametrize("name", PRESETS)
def test_runs_both_ways_and_comes_back_bit_equal(name, tmp_path, open_hand):
    torch.manual_seed(0)
    config = small(PRESETS[name].config)
    model = build_model(config, open_hand)
    inputs = small_inputs(config)
    both_ways(model, inputs)
    expected = model.eval()(inputs)

    save_checkpoint(model, tmp_path / "m.safetensors", data="none", licence="none")
    loaded = load_checkpoint(tmp_path / "m.safetensors")
    assert loaded.config == config
    assert equal(loaded(inputs), expected)


@pytest.mark.slow  # `tests/export` traces one of each family, fused
@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("name", PRESETS)
def test_exports_with_any_batch(name, open_hand):
    """Without the tests' shape checks, which read sizes as numbers and so would fix the batch."""
    torch.manual_seed(0)
    config = small(PRESETS[name].config)
    model = build_model(config, open_hand).eval()
    batch = {0: torch.export.Dim("batch")}
    exported = torch.export.export(model, (small_inputs(config),), dynamic_shapes=(ModelInput(batch, batch),)).module()
    for size in (1, 3):
        inputs = small_inputs(config, size)
        for eager, mine in zip(model(inputs), exported(inputs), strict=True):
            if eager is None:
                continue
            torch.testing.assert_close(mine, eager, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_full_size(name, tmp_path, open_hand):
    torch.manual_seed(0)
    model = create_model(name, open_hand)
    inputs = small_inputs(model.config, batch=2)
    both_ways(model, inputs)
    expected = model.eval()(inputs)
    save_checkpoint(model, tmp_path / "m.safetensors", data="none", licence="none")
    assert equal(load_checkpoint(tmp_path / "m.safetensors")(inputs), expected)


def test_training_starts_as_released(open_hand):
    model = build_model(small(PRESETS["handoccnet"].config), open_hand)
    deviation = {name: p.std().item() for name, p in model.named_parameters() if p.numel() > 1}
    assert deviation["fit.blocks.0.encode_query.weight"] == pytest.approx(0.001, rel=0.2)
    assert deviation["set.0.blocks.1.mlp.widen.weight"] == pytest.approx(0.01, rel=0.2)
    assert deviation["fit.blocks.0.query_position.weight"] == pytest.approx(1, rel=0.2)
    assert not model.regressor.mano_head.pose.bias.any()


def test_small_open_models_start_at_the_rest_pose(open_hand):
    model = create_model("handgcat-open-s", open_hand).eval()
    output = model(small_inputs(model.config))
    torch.testing.assert_close(output.rotations, torch.eye(3).expand_as(output.rotations), atol=0.1, rtol=0)


def test_unknown_names_list_the_near_ones():
    with pytest.raises(ValueError, match="handoccnet-paper"):
        create_model("handoccnet_paper")
    with pytest.raises(ValueError, match="near: handoccnet, handgcat"):
        find_preset("zzz")


@pytest.fixture
def without_shape_checks():
    """As users run the package: its own checks only."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("without_shape_checks")
def test_configs_refuse_what_does_not_fit():
    config = PRESETS["handoccnet"].config
    with pytest.raises(ValueError, match="choose one of sum, mean"):
        config_from_json(config_to_json(config) | {"gate_pooling": "max"})
    with pytest.raises(ValueError, match="Unknown model settings colour"):
        config_from_json(config_to_json(config) | {"colour": 1})
    with pytest.raises(ValueError, match="Unknown network family"):
        config_from_json({"family": "resnet"})
    with pytest.raises(ValueError, match="1 to 4096"):
        replace(config, channels=10**9)
    with pytest.raises(ValueError, match="heads"):
        replace(config, heads=3)
    with pytest.raises(ValueError, match="too often"):
        replace(config, encoder_levels=6)
    for name, changes, words in (
        ("handoccnet", {"input_size": 300}, "input_size 300 is no multiple of 4 . map_size .32."),
        ("handoccnet", {"fit_residual": "q_sig", "fit_attention": "softmax"}, "'q_sig' needs a gate"),
        ("handoccnet", {"lifter": "feedback"}, "A lifter needs pose_output 'rotation_6d' and flat_hand_mean true"),
        ("handgcat", {"lifter": "feedback", "pose_output": "axis_angle"}, "A lifter needs pose_output 'rotation_6d'"),
        ("handgcat", {"cat_heads": 3}, "32 x 32 does not split into 3 heads"),
        ("handgcat", {"kgc_splat": 1}, "kgc_splat is 1; expected true or false"),
        ("handgcat", {"kgc_layers": True}, "kgc_layers is True; expected a whole number of 1 to 4096"),
        ("handgcat", {"kgc_layers": 0}, "kgc_layers is 0; expected a whole number of 1 to 4096"),
        ("handgcat", {"embedding_std": float("inf")}, "embedding_std is inf; expected a number of at least 0"),
        ("handgcat", {"embedding_std": float("nan")}, "embedding_std is nan; expected a number of at least 0"),
        ("handgcat", {"head_widths": (1024,)}, "expected whole numbers of 1 to 4096"),
    ):
        with pytest.raises(ValueError, match=words):
            replace(PRESETS[name].config, **changes)
    assert config_from_json(config_to_json(config)) == config
