"""Exported networks give the network's numbers, say what they are, and nothing is left of a failed export."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jaxtyping
import numpy as np
import pytest
import torch

from occhand.data.shards import sha256_of
from occhand.export.int8 import calibration_crops, quantise
from occhand.export.parity import compare
from occhand.export.write import check_export, export_network
from occhand.metrics.functional import pa_mpjpe
from occhand.models.checkpoint import BUNDLED, bundled_weights, load_checkpoint
from occhand.models.presets import PRESETS
from occhand.runtimes import choice, network
from occhand.runtimes.choice import check_device, processor_precisions, resolve
from occhand.runtimes.network import load_exported, make_ready
from occhand.runtimes.onnx_graph import exact_nodes, example_input, graph_info, network_digest, to_onnx
from occhand.synth.dataset import SynthDataset
from occhand.synth.write import write_synth
from occhand.types import ModelOutput
from tests.models.conftest import open_hand, small  # noqa: F401 (a fixture)
from tests.models.test_fuse import lived_in
from tests.models.test_switches import filled

pytest.importorskip("onnxruntime", reason="needs the [export] extra")
FAMILIES = ("handoccnet", "handgcat")


@pytest.fixture(scope="module", autouse=True)
def without_shape_checks():
    """They read sizes as numbers, which would fix the batch of an exported graph."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def networks(open_hand):  # noqa: F811
    """Of both families; 2D joints may be missing, as `example_input` has it then."""
    configs = {name: replace(small(PRESETS[name].config), hourglass_depth=1) for name in FAMILIES}
    configs["handgcat"] = replace(configs["handgcat"], inputs_may_miss=True, kgc_splat=True)
    return {name: lived_in(filled(config, open_hand)) for name, config in configs.items()}


@pytest.fixture(scope="module", autouse=True)
def one_trace_per_network():
    """Tracing takes most of an export's time: the graphs are kept, and get the metadata that is asked for."""
    made = {}

    def to_onnx_once(model, info):
        if id(model) not in made:
            made[id(model)] = to_onnx(model, info)
        proto = copy.deepcopy(made[id(model)])
        proto.metadata_props[-1].value = info.to_json()
        return proto

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("occhand.export.write.to_onnx", to_onnx_once)
        patch.setattr("occhand.runtimes.network.to_onnx", to_onnx_once)
        yield to_onnx_once


@pytest.fixture(scope="module")
def exported(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return {name: export_network(model, folder / f"{name}.onnx") for name, model in networks.items()}


@pytest.fixture(autouse=True)
def quiet_torch(caplog):
    """Its tracer logs a line for every step."""
    caplog.set_level("WARNING")


@pytest.fixture(autouse=True)
def able_processor(monkeypatch):
    """As on a processor that has all precisions; those without compute them more slowly."""
    for place in (choice, network):
        monkeypatch.setattr(place, "processor_precisions", lambda: ("fp32", "bf16", "int8"))


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_file_gives_the_networks_numbers_for_any_batch(name, runtime, networks, exported):
    if runtime == "openvino":
        pytest.importorskip("openvino")
    ready = load_exported(exported[name].files[0], runtime)
    assert (ready.title.lower(), ready.precision) == (name, "fp32")
    for batch in (1, 3):
        inputs = example_input(ready.config, batch, seed=5)
        with torch.no_grad():
            expected = networks[name](inputs)
        mine = ready(inputs)
        for a, b in ((expected.vertices, mine.vertices), (expected.joints, mine.joints), (expected.transforms, mine.transforms)):
            assert (a - b).abs().max() <= 2e-5 * a.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLED)
def test_the_bundled_networks_run_in_openvino(name, tmp_path):
    """Sums and bounds like those of their lifter have been read wrongly by it; an export that is off is refused."""
    pytest.importorskip("openvino", reason="needs the [export] extra")
    export_network(load_checkpoint(bundled_weights(name)).eval(), tmp_path / "network.xml", origin=Path(name))
    about = json.loads((tmp_path / "network.xml.json").read_text())
    assert (about["origin"]["file"], about["origin"]["licence"]) == (f"{name}.safetensors", "Apache-2.0")
    assert "axes of a camera at the same place that looks at the middle" in about["outputs"]["vertices"]["is"]


def test_the_card_says_what_the_file_is(exported):
    network_file, card, page = exported["handgcat"].files
    about = json.loads(card.read_text())
    assert (about["network"], about["hand"], about["precision"]) == ("handgcat", "open", "fp32")
    assert about["inputs"]["given_joints_crop"]["shape"] == ["batch", 21, 2]
    assert all(entry["is"] for kind in ("inputs", "outputs") for entry in about[kind].values())
    ready = load_exported(network_file, "onnx")
    output = ready(example_input(ready.config, 2))
    assert {name: entry["shape"][1:] for name, entry in about["outputs"].items()} == {
        name: list(getattr(output, name).shape[1:]) for name in about["outputs"]
    }
    assert about["difference_to_pytorch_fp32"]["vertices_max_mm"] < 0.01
    digest = sha256_of(network_file)
    assert about["sha256"] == {"handgcat.onnx": digest}
    assert f"SHA-256 of handgcat.onnx: `{digest}`" in page.read_text()
    assert "axes of the camera (" in about["outputs"]["vertices"]["is"]


def test_int8_is_calibrated_on_hands_and_stays_near(networks, tmp_path):
    model = networks["handgcat"]
    write_synth(tmp_path / "hands", SynthDataset(seed=3, indices=range(4), size=64))
    crops = calibration_crops(str(tmp_path / "hands"), 8, model.config)
    assert len(crops) == 4
    result = export_network(model, tmp_path / "small.onnx", "int8", crops)
    ready = load_exported(result.files[0], "onnx")
    assert ready.precision == "int8"
    graph = result.files[0].read_bytes()
    assert graph.count(b"DequantizeLinear") > 0
    with pytest.raises(ValueError, match="in int8, not fp32"):
        load_exported(result.files[0], "onnx", "fp32")


@pytest.mark.slow
def test_int8_for_openvino_rounds_once_between_layers(networks, tmp_path):
    openvino = pytest.importorskip("openvino")
    model = networks["handoccnet"]
    crops = [example_input(model.config, 1, seed) for seed in range(4)]
    files = [export_network(model, tmp_path / f"small.{suffix}", "int8", crops).files[0] for suffix in ("onnx", "xml")]
    for_onnx, for_openvino = (openvino.Core().read_model(file).get_ops() for file in files)
    rounded, once = ([op.get_type_name() for op in ops].count("FakeQuantize") for ops in (for_onnx, for_openvino))
    assert 0 < once < rounded
    assert load_exported(files[1]).precision == "int8"


@pytest.mark.parametrize("runtime", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def test_int8_leaves_what_comes_after_the_scores_alone(runtime, networks, one_trace_per_network, tmp_path):
    import onnx

    model = networks["handoccnet"]
    graph, info = tmp_path / "network.onnx", graph_info(model, "int8")
    onnx.save(one_trace_per_network(model, info), graph)
    quantise(graph, info, [example_input(model.config, 1, seed=seed) for seed in range(2)], runtime)
    exact = {node.op_type for node in exact_nodes(onnx.load(graph).graph)}
    assert "Softmax" in exact
    assert not exact & {"QuantizeLinear", "DequantizeLinear"}


def test_openvino_files_say_their_precision(networks, tmp_path):
    pytest.importorskip("openvino")
    files = export_network(networks["handoccnet"], tmp_path / "small.xml", "bf16").files
    about = json.loads(files[2].read_text())
    assert list(about["sha256"]) == ["small.bin", "small.xml"]
    assert "opset" not in about
    assert [file.name for file in files] == ["small.xml", "small.bin", "small.xml.json", "small.xml.md"]
    assert load_exported(files[0]).precision == "bf16"
    with pytest.raises(ValueError, match="is for OpenVINO"):
        load_exported(files[0], "onnx")


def test_a_failed_export_leaves_nothing(networks, tmp_path, monkeypatch):
    def far_off(*_, **__):
        raise ValueError("too far")

    monkeypatch.setattr("occhand.export.write.compare", far_off)
    monkeypatch.setattr("occhand.export.write.to_onnx", lambda *_: None)
    monkeypatch.setattr("occhand.export.write._save", lambda _, path: path.write_text("graph"))
    monkeypatch.setattr("occhand.export.write.load_exported", lambda *_: None)
    with pytest.raises(ValueError, match="too far"):
        export_network(networks["handoccnet"], tmp_path / "new" / "out.onnx")
    assert list((tmp_path / "new").iterdir()) == []


def test_numbers_that_differ_too_much_are_refused(networks, exported, open_hand):  # noqa: F811
    other = filled(small(PRESETS["handoccnet"].config), open_hand)
    with pytest.raises(ValueError, match="mm from the original"):
        compare(other, networks["handoccnet"], [example_input(other.config, 2)], "fp32")


@pytest.mark.parametrize(("factor", "precision"), [(1.0, "fp32"), (3.0, "fp32"), (np.nan, "fp32"), (3.0, "bf16"), (1500.0, "bf16")])
def test_differences_are_told_in_millimetres_over_all_crops(monkeypatch, factor, precision):
    """Vertices of two crops are 3 um off and those of a third 9 um, times the factor."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # a network is what gives these numbers
    torch.manual_seed(0)
    exact, near, places = [], [], iter((0.03, 0.01))
    for count, off in ((2, 3e-6), (1, 9e-6)):
        vertices, joints, points = torch.rand(count, 778, 3), torch.rand(count, 21, 3), torch.full((count, 21, 2), 0.5)
        rest = [torch.zeros(1)] * (len(ModelOutput._fields) - 3)
        moved, shifted = vertices.double() + torch.tensor([0.0, off * factor, 0.0]), points.clone()
        shifted[-1, 4, 1] -= next(places)
        exact.append(ModelOutput(vertices.double(), joints, points, *rest))
        near.append(ModelOutput(moved, 3 * joints + 0.1 * torch.rand(count, 21, 3), shifted, *rest))
    inputs = [SimpleNamespace(image=torch.zeros(len(output.joints), 3, 2, 2)) for output in exact]
    answers = {id(some): (one, other) for some, one, other in zip(inputs, exact, near, strict=True)}

    def told():
        return compare(lambda some: answers[id(some)][0], lambda some: answers[id(some)][1], inputs, precision)

    if not 0.005 * factor <= {"fp32": 0.01, "bf16": 5.0}[precision]:
        with pytest.raises(ValueError, match="mm from the original"):
            told()
        return
    parity = told()
    aligned = torch.cat([pa_mpjpe(other.joints, one.joints) for one, other in zip(exact, near, strict=True)])
    assert parity.crops == 3
    assert parity.vertices_mean_mm == pytest.approx(0.005 * factor, rel=1e-6)
    assert parity.vertices_max_mm == pytest.approx(0.009 * factor, rel=1e-6)
    assert parity.joints_aligned_mean_mm == pytest.approx(1e3 * aligned.mean().item(), rel=1e-6)
    assert parity.joints_crop_max == pytest.approx(0.03, rel=1e-5)


BAD_CHOICES = {
    "unknown runtime": (("tensorrt", "fp32"), ValueError, "choose one of torch, compile, onnx, openvino, auto"),
    "unknown precision": (("torch", "fp16"), ValueError, "choose one of fp32, bf16, int8"),
    "bf16 in ONNX Runtime": (("onnx", "bf16"), ValueError, "has no bf16; choose fp32 or int8, or runtime torch or compile or openvino"),
    "int8 in PyTorch": (("torch", "int8"), ValueError, "has no int8"),
}


@pytest.mark.parametrize("case", BAD_CHOICES)
def test_runtimes_and_precisions_that_do_not_go_together(case):
    names, error, message = BAD_CHOICES[case]
    with pytest.raises(error, match=message):
        resolve(*names)


def test_what_is_missing_is_said_with_the_extra(monkeypatch):
    monkeypatch.setattr(choice, "missing_packages", lambda runtime: ["openvino"] if runtime == "openvino" else [])
    with pytest.raises(ImportError, match=r"pip install 'occhand\[export\]'"):
        resolve("openvino", "fp32")
    assert resolve("auto", "fp32")[0] == "onnx"


@pytest.mark.parametrize(
    ("missing", "chosen"),
    [
        ((), ["openvino", "openvino", "openvino"]),
        (("openvino",), ["onnx", "torch", "onnx"]),
        (("openvino", "onnx"), ["torch", "torch", None]),
    ],
)
def test_auto_is_the_quickest_that_is_there_and_has_the_precision(monkeypatch, missing, chosen):
    monkeypatch.setattr(choice, "missing_packages", lambda runtime: ["something"] if runtime in missing else [])
    for precision, runtime in zip(("fp32", "bf16", "int8"), chosen, strict=True):
        if runtime is None:
            with pytest.raises(ImportError, match="Runtime onnx needs something"):
                resolve("auto", precision)
        else:
            assert resolve("auto", precision) == (runtime, precision)


def test_packages_and_a_compiler_that_are_missing_are_named(monkeypatch):
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(ImportError, match=r"Runtime onnx needs onnxruntime\. Install them with: pip install 'occhand\[export\]'"):
        resolve("onnx", "fp32")
    monkeypatch.setattr(choice.shutil, "which", lambda name: None)
    with pytest.raises(ImportError, match=r"needs a C\+\+ compiler.*Use --runtime torch"):
        resolve("compile", "fp32")
    monkeypatch.setattr(choice.shutil, "which", lambda name: name if name == "clang++" else None)
    assert resolve("compile", "fp32") == ("compile", "fp32")


def test_a_processor_without_the_precision_is_told(monkeypatch):
    monkeypatch.setattr(choice, "processor_precisions", lambda: ("fp32",))
    with pytest.raises(ValueError, match="no instructions for bf16"):
        resolve("torch", "bf16")


@pytest.mark.parametrize(
    ("able", "name", "expected"),
    [
        ((False, False, False), "AVX2", ("fp32",)),
        ((True, False, False), "AVX512", ("fp32", "bf16")),
        ((False, True, False), "AVX512", ("fp32", "bf16")),
        ((False, False, True), "AVX512", ("fp32", "int8")),
        ((False, False, False), "SVE256", ("fp32", "bf16", "int8")),
    ],
)
def test_a_processor_has_the_precisions_that_it_has_instructions_for(monkeypatch, able, name, expected):
    for question, answer in zip(("avx512_bf16", "amx_tile", "vnni"), able, strict=True):
        monkeypatch.setattr(torch.cpu, f"_is_{question}_supported", lambda answer=answer: answer)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: name)
    assert processor_precisions() == expected


def test_a_device_is_the_processor_or_a_gpu_that_is_there(monkeypatch):
    for is_there in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda is_there=is_there: is_there)
        check_device("cpu")
        if is_there:
            check_device(torch.device("cuda:1"))
        for device in ("mps", *([] if is_there else ["cuda", "cuda:1"])):
            with pytest.raises(ValueError, match=f"There is no device '{device}' here"):
                check_device(device)


def test_weights_have_no_int8_without_calibration(networks):
    with pytest.raises(ValueError, match="int8 needs calibration"):
        make_ready(networks["handoccnet"], "onnx", "int8")


def test_bf16_is_near_and_not_equal(networks):
    inputs = example_input(networks["handoccnet"].config, 2)
    exact, near = (make_ready(networks["handoccnet"], "torch", precision)(inputs) for precision in ("fp32", "bf16"))
    error_mm = 1e3 * (exact.vertices - near.vertices).norm(dim=-1).mean()
    assert 0 < error_mm < 20
    assert near.vertices.dtype == torch.float32


@pytest.mark.parametrize("name", FAMILIES)
def test_in_bf16_the_mesh_is_exactly_that_of_its_pose_and_shape(name, networks, monkeypatch):
    model, compiled = networks[name], []
    run = network._openvino_run
    monkeypatch.setattr(network, "_openvino_run", lambda core, graph, hint: compiled.append(hint) or run(core, graph, hint))
    output = make_ready(model, "openvino", "bf16").run(example_input(model.config, 3))
    assert compiled == ["bf16", "f32"]
    is_flat = model.config.flat_hand_mean
    rotations = output.rotations if is_flat else model.hand.rotations_from_axis_angle(output.pose, flat_hand_mean=False)
    assert (model.hand(rotations, output.betas).vertices - output.vertices).abs().max() < 1e-6
    assert (output.heatmaps.sum((2, 3)) - 1).abs().max() < 1e-5


def test_the_graph_of_weights_is_made_once(networks, tmp_path, monkeypatch, caplog):
    ready = make_ready(networks["handoccnet"], "onnx")
    assert "once" in caplog.text
    monkeypatch.setattr("occhand.runtimes.network.to_onnx", lambda *_: pytest.fail("made twice"))
    again = make_ready(networks["handoccnet"], "onnx")
    inputs = example_input(ready.config, 1)
    assert torch.equal(ready(inputs).vertices, again(inputs).vertices)


def test_files_of_others_are_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [helper.make_tensor_value_info("y", 1, [1])])
    onnx.save(helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(ValueError, match="was not exported by occhand"):
        load_exported(tmp_path / "other.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match="no ONNX file that can be read"):
        load_exported(tmp_path / "broken.onnx")
    with pytest.raises(FileNotFoundError, match="not found"):
        load_exported(tmp_path / "none.onnx")
    (tmp_path / "broken.xml").write_text("<net")
    with pytest.raises(ValueError, match="is for OpenVINO; use --runtime openvino"):
        load_exported(tmp_path / "broken.xml", "onnx")
    for runtime in ("torch", "compile"):
        with pytest.raises(ValueError, match=f"is a graph, which runtime {runtime} does not run. Use --runtime onnx or openvino"):
            load_exported(tmp_path / "broken.onnx", runtime)
    pytest.importorskip("openvino")
    with pytest.raises(ValueError, match=r"broken\.xml is no OpenVINO model that can be read"):
        load_exported(tmp_path / "broken.xml")


def test_a_file_with_another_hand_inside_is_refused(networks, tmp_path, open_hand):  # noqa: F811
    import onnx
    from onnx import helper

    value = helper.make_tensor_value_info("x", 1, [1])
    model = helper.make_model(helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [value]))
    info = replace(graph_info(networks["handoccnet"]), hand="mano")
    helper.set_model_props(model, {"occhand": info.to_json()})
    onnx.save(model, tmp_path / "mano.onnx")
    with pytest.raises(ValueError, match=r"has the mano hand inside, not the open one\. Leave the hand out"):
        load_exported(tmp_path / "mano.onnx", "onnx", hand=open_hand)


def test_another_hand_or_config_makes_another_graph(networks):
    model = networks["handoccnet"]
    digest = network_digest(model)
    assert network_digest(copy.deepcopy(model)) == digest
    other_hand, other_config, other_weights = (copy.deepcopy(model) for _ in range(3))
    other_hand.hand.v_template[0, 0] += 1
    other_config.config = replace(model.config, flat_hand_mean=True)
    with torch.no_grad():
        next(other_weights.parameters()).view(-1)[0] += 1
    assert len({digest, *(network_digest(other) for other in (other_hand, other_config, other_weights))}) == 4


def test_a_file_of_another_version_is_refused(exported, tmp_path):
    import onnx

    model = onnx.load(exported["handoccnet"].files[0])
    entry = next(entry for entry in model.metadata_props if entry.key == "occhand")
    entry.value = entry.value.replace('"form": 1', '"form": 99')
    onnx.save(model, tmp_path / "newer.onnx")
    with pytest.raises(ValueError, match="exported by another version of occhand"):
        load_exported(tmp_path / "newer.onnx")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("[1]", None), "another version"),
        (('"vertices"', '"corners"'), "its output 'corners' is unknown"),
        (('"hand": "open"', '"hand": 7'), "an entry of the wrong type"),
        (('"hand": "open"', '"hand": "/etc/passwd"'), "open and mano are known by name"),
    ],
)
def test_what_a_file_says_of_itself_is_not_trusted(words, message, exported, tmp_path):
    import onnx

    model = onnx.load(exported["handoccnet"].files[0])
    entry = next(entry for entry in model.metadata_props if entry.key == "occhand")
    entry.value = words[0] if words[1] is None else entry.value.replace(*words)
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ValueError, match=message):
        load_exported(tmp_path / "odd.onnx")


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_damaged_graph_is_one_line(runtime, exported, tmp_path):
    import onnx

    model = onnx.load(exported["handoccnet"].files[0])
    model.graph.node[5].op_type = "Nothing"
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(ValueError, match=rf"cannot be run by {runtime} \(.*Export the weights again"):
        load_exported(tmp_path / "damaged.onnx", runtime)


def test_formats_and_calibration_are_checked_before_work(networks, tmp_path):
    with pytest.raises(ValueError, match=r"end it in \.onnx"):
        check_export(tmp_path / "net.trt", "fp32")
    with pytest.raises(ValueError, match="0 were given"):
        export_network(networks["handgcat"], tmp_path / "net.onnx", "int8")
    (tmp_path / "void").mkdir()
    with pytest.raises(ValueError, match="void"):
        calibration_crops(str(tmp_path / "void"), 4, networks["handgcat"].config)
    assert not np.any([path.suffix == ".onnx" for path in tmp_path.iterdir()])
