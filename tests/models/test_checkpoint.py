"""Files of weights: round trips, the authors' snapshots, and everything that must be refused."""

import json
import os
import pickle
import shutil
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from occhand import __version__
from occhand.files import cache_dir
from occhand.models.checkpoint import (
    BUNDLED,
    bundled_weights,
    convert_checkpoint,
    load_checkpoint,
    load_imagenet_trunk,
    load_released,
    read_info,
    save_checkpoint,
)
from occhand.models.presets import PRESETS, build_model, create_model
from tests.golden.networks import golden_recipe
from tests.golden.networks.compare import excess
from tests.models.conftest import small, small_inputs

RELEASED_HAND = "regressor.mano_regHead.mano_layer."


@pytest.fixture(scope="module")
def model(open_hand):
    torch.manual_seed(0)
    return build_model(small(PRESETS["handgcat"].config), open_hand).eval()


@pytest.fixture
def saved(model, tmp_path):
    save_checkpoint(model, tmp_path / "m.safetensors", data="synthetic", licence="Apache-2.0")
    return tmp_path / "m.safetensors"


def rewritten(path, change_weights=None, change_about=None):
    """The same file with something changed."""
    weights = load_file(path)
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["occhand"])
    if change_weights:
        change_weights(weights)
    if change_about:
        change_about(about)
    save_file(weights, path, metadata={"occhand": json.dumps(about)})
    return path


def test_file_says_what_it_is_and_holds_no_hand(saved, model):
    info = read_info(saved)
    assert (info.config, info.hand, info.data, info.licence, info.version) == (model.config, "open", "synthetic", "Apache-2.0", __version__)
    tensors = load_file(saved)
    assert len(tensors) == len(model.state_dict())
    assert not [key for key in tensors if ".hand." in key]
    assert not [key for key, value in tensors.items() if 778 in value.shape]


def test_half_precision_weights_load(saved, model):
    inputs = small_inputs(model.config)
    rewritten(saved, lambda weights: weights.update({k: v.half() for k, v in weights.items() if v.is_floating_point()}))
    torch.testing.assert_close(load_checkpoint(saved)(inputs).vertices, model(inputs).vertices, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("kgc.layers.0.bn.weight"), r"1 of \d+ expected keys are missing: kgc\.layers\.0\.bn\.weight"),
        (lambda w: w.update(extra=torch.zeros(1)), "1 keys are not of this network: extra"),
        (lambda w: w.update({"cat.fuse.0.bias": torch.zeros(3)}), r"cat\.fuse\.0\.bias is \(3,\), expected \(16,\)"),
        (lambda w: w["cat.fuse.0.bias"].fill_(float("nan")), r"not finite: cat\.fuse\.0\.bias"),
    ],
)
def test_weights_that_do_not_fit(saved, change, message):
    with pytest.raises(ValueError, match=message) as error:
        load_checkpoint(rewritten(saved, change))
    assert "Nothing was loaded" in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.pop("licence"),
        lambda about: about["config"].update(channels=10**9),
        lambda about: about["config"].update(family="other"),
        lambda about: about["config"].update(colour=1),
        lambda about: about.update(hand=3),
    ],
)
def test_headers_that_describe_no_network(saved, change):
    with pytest.raises(ValueError, match="does not describe a network"):
        load_checkpoint(rewritten(saved, change_about=change))


def test_a_header_does_not_say_which_file_is_read(saved, tmp_path):
    """The file is from outside: what it calls its hand is a name."""
    path = rewritten(saved, change_about=lambda about: about.update(hand=str(tmp_path / "any.npz")))
    with pytest.raises(ValueError, match="known by name"):
        load_checkpoint(path)


def test_files_that_are_not_ours(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="Weights not found"):
        load_checkpoint(tmp_path / "none.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="no whole safetensors file"):
        load_checkpoint(cut)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(ValueError, match="not written by occhand"):
        load_checkpoint(foreign)


def test_another_hand_is_said(saved, golden_hand, caplog):
    load_checkpoint(saved, golden_hand)
    assert "trained with the open hand" in caplog.text


def test_weights_too_large_for_half_precision_are_refused(tmp_path, open_hand):
    model = build_model(small(PRESETS["handoccnet"].config), open_hand)
    model.trunk.resnet.bn1.running_var.fill_(1e5)
    with pytest.raises(ValueError, match="In half precision"):
        save_checkpoint(model, tmp_path / "half.safetensors", data="none", licence="none", half=True)
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match=r"end it in \.safetensors"):
        save_checkpoint(model, tmp_path / "weights.pth", data="none", licence="none")


def test_a_fused_copy_is_refused_and_leaves_no_file(model, tmp_path):
    with pytest.raises(ValueError, match="Save the plain network"):
        save_checkpoint(model.fuse(), tmp_path / "fused.safetensors", data="synthetic", licence="Apache-2.0")
    assert not list(tmp_path.iterdir())


def test_writing_fails_whole(model, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("occhand.models.checkpoint.save_file", broken)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(model, tmp_path / "m.safetensors", data="", licence="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("net", golden_recipe.NETS)
def test_snapshot_converts_to_the_golden_outputs(net, recipe_weights, golden_hand, golden_inputs, tmp_path):
    snapshot, out = tmp_path / "snapshot_0.pth.tar", tmp_path / "out" / "weights.safetensors"
    weights = {f"module.{key}": value for key, value in recipe_weights[net].items()}
    torch.save({"epoch": 69, "network": weights, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}}, snapshot)
    info = convert_checkpoint(snapshot, out)
    assert (info.hand, info.config.flat_hand_mean) == ("mano", net == "handgcat")
    assert not [key for key, value in load_file(out).items() if 778 in value.shape]

    golden = np.load(f"tests/golden/networks/{net}.npz")
    with torch.no_grad():
        output = load_checkpoint(out, golden_hand)(golden_inputs(2))
    for name, mine in (("verts_cam", output.vertices), ("joints_cam", output.joints), ("joints_img", output.joints_crop)):
        assert excess(f"eval/{name}", golden[f"eval/{name}"], mine.numpy()) <= 1


def test_flat_hand_mean_is_read_from_the_snapshot(recipe_weights):
    weights = dict(recipe_weights["handoccnet"])
    weights[f"{RELEASED_HAND}th_hands_mean"] = torch.zeros(1, 45)
    model = load_released(weights)
    assert model.config.flat_hand_mean is True
    assert not model.training


def test_older_snapshots_and_those_without_a_hand(recipe_weights, open_hand):
    weights = {key: value for key, value in recipe_weights["handoccnet"].items() if not key.startswith(("fitting_loss", RELEASED_HAND))}
    assert load_released(weights, open_hand).hand is open_hand
    with pytest.raises(ValueError, match="no usable hand inside"):
        load_released(weights)
    thin = recipe_weights["handoccnet"] | {f"{RELEASED_HAND}th_weights": torch.zeros(778, 12)}
    with pytest.raises(ValueError, match=r"th_weights has shape \(778, 12\), expected \(778, 16\)\. Give a hand"):
        load_released(thin)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("FIT.layers.0.q_embedding"), r"missing: fit\.blocks\.0\.query_position\.weight"),
        (lambda w: w.update({"FIT.layers.7.q_embedding": torch.zeros(1)}), r"1 keys that handoccnet has not: FIT\.layers\.7\.q_embedding"),
        (lambda w: w.update({"FIT.conv2.0.bias": torch.zeros(5)}), r"fit\.shortcut\.bias is \(5,\), expected \(256,\)"),
        (lambda w: [w.pop(key) for key in list(w) if key.startswith("FIT")], "no snapshot of HandOccNet"),
        (lambda w: w.update({"FIT.conv2.0.bias": "text"}), "expected a table of weights by name"),
    ],
)
def test_snapshots_that_do_not_fit(recipe_weights, change, message):
    weights = dict(recipe_weights["handoccnet"])
    change(weights)
    with pytest.raises(ValueError, match=message):
        load_released({"network": weights})


class Hostile:
    """Makes a folder when unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (os.mkdir, (str(self.folder),))


def test_snapshot_files_that_are_cut_foreign_or_hostile(tmp_path):
    path = tmp_path / "snapshot.pth.tar"
    with pytest.raises(FileNotFoundError, match="Weights not found"):
        load_released(path)
    for content in (b"", b"not a snapshot", pickle.dumps(Hostile(tmp_path / "ran"), protocol=2)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="without running code"):
            load_released(path)
    assert not (tmp_path / "ran").exists()
    torch.save({"network": {"module.x": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match="without running code"):
        load_released(path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="holds a list"):
        load_released(path)


@pytest.fixture(scope="module")
def imagenet_file(recipe_weights, tmp_path_factory):
    """A file with torchvision's names, made from the released trunk; as old as theirs, so without batch counts."""
    names = {"backbone.layer0.0.": "conv1.", "backbone.layer0.1.": "bn1."} | {f"backbone.layer{k}.0.": f"layer{k}." for k in (1, 2, 3, 4)}
    weights = {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    for key, value in recipe_weights["handoccnet"].items():
        for theirs, name in names.items():
            if key.startswith(theirs) and not key.endswith("num_batches_tracked"):
                weights[name + key.removeprefix(theirs)] = value
    path = tmp_path_factory.mktemp("imagenet") / "resnet50.pth"
    torch.save(weights, path)
    return path


def raise_no_route(*_, **__):
    raise URLError("no route")


def test_imagenet_trunk(imagenet_file, released, open_hand, monkeypatch):
    model = create_model("handoccnet", open_hand)
    load_imagenet_trunk(model, imagenet_file)
    theirs = released["handoccnet"].trunk.resnet.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in model.trunk.resnet.state_dict().items())

    def download(url, file, **options):
        assert url.endswith("resnet50-19c8e357.pth")
        assert options["hash_prefix"] == "19c8e357"
        shutil.copy(imagenet_file, file)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    load_imagenet_trunk(model)
    monkeypatch.setattr(torch.hub, "download_url_to_file", raise_no_route)
    load_imagenet_trunk(model)
    (cached,) = (cache_dir() / "imagenet").iterdir()
    cached.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"19c8e357\.pth is no file of PyTorch weights.*Fetch it again"):
        load_imagenet_trunk(model)
    cached.unlink()
    with pytest.raises(FileNotFoundError, match=r"no route.*Download https.*--imagenet FILE"):
        load_imagenet_trunk(model)
    with pytest.raises(ValueError, match=r"resnet18, width 32.*Nothing was loaded"):
        load_imagenet_trunk(create_model("handoccnet-open-s", open_hand), imagenet_file)


def test_half_precision_halves_the_file_and_little_else(tmp_path, open_hand):
    torch.manual_seed(0)
    model = create_model("handgcat-open-s", open_hand).eval()
    save_checkpoint(model, tmp_path / "whole.safetensors", data="none", licence="none")
    save_checkpoint(model, tmp_path / "half.safetensors", data="none", licence="none", half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.52 * sizes[1]
    loaded = load_checkpoint(tmp_path / "half.safetensors")
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    for key, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], value, atol=1e-4, rtol=1e-3)


def test_unknown_bundled_weights_are_refused():
    with pytest.raises(ValueError, match="handoccnet-open-s"):
        bundled_weights("handgcat")


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_weights_are_small_free_and_their_presets(name):
    path = bundled_weights(name)
    assert path.stat().st_size <= 25e6
    info = read_info(path)
    assert info.licence == "Apache-2.0"
    assert info.hand == "open"
    assert load_checkpoint(path).config == PRESETS[name].config
