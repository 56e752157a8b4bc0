"""Weights in files: ours (safetensors), the authors' snapshots, and torchvision's ImageNet files.

Keys are matched by name and shape, all of them or none: nothing is half loaded. The hand's arrays are never written.
"""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from occhand import __version__
from occhand.broken_files import BROKEN_JSON
from occhand.files import atomic_path, cache_dir
from occhand.hand.hand_layer import HandLayer, load_hand_named_in
from occhand.hand.parameters import HandParameters
from occhand.models.config import Family, ModelConfig, config_from_json, config_to_json
from occhand.models.fuse import is_fused
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.models.presets import PRESETS, build_model, find_preset
from occhand.models.released_keys import DEAD, GRID, HAND_PREFIX, released_prefixes, renamed

logger = logging.getLogger(__name__)

StrPath = str | os.PathLike[str]

_METADATA_KEY = "occhand"
_IMAGENET_FILES = {
    "resnet50": "https://download.pytorch.org/models/resnet50-19c8e357.pth",
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
}
_HAND_BUFFERS = {
    "th_v_template": (1, 778, 3),
    "th_faces": (1538, 3),
    "th_shapedirs": (778, 3, 10),
    "th_posedirs": (778, 3, 135),
    "th_weights": (778, 16),
    "th_J_regressor": (16, 778),
    "th_hands_mean": (1, 45),
}


BUNDLED = ("handgcat-open-s", "handoccnet-open-s")
"""Presets whose weights come with the package."""


@dataclass(frozen=True)
class CheckpointInfo:
    """What a file of ours says of its weights."""

    config: ModelConfig
    hand: str
    """Name of the hand that they were trained with: `open` or `mano`."""
    data: str
    """What they were trained on."""
    licence: str
    version: str
    """Of this package, when the file was written."""


def save_checkpoint(model: HandOccNet | HandGCAT, path: StrPath, data: str, licence: str, half: bool = False) -> None:
    """Write a network's weights with all that is needed to use them again; the file appears whole or not at all.

    Args:
        model: The network.
        path: A `.safetensors` file.
        data: What the weights were trained on.
        licence: Under which they may be used.
        half: Half precision, for a file of half the size; it is read as float32 again.

    Raises:
        ValueError: A fused copy, whose weights are no longer those of its config; a file of another suffix; numbers too large
            for half precision.
        OSError: The file cannot be written; an earlier one stays.
    """
    if is_fused(model):
        raise ValueError("This is a fused copy of a network, for inference only. Save the plain network that 'fuse()' was called on.")
    if Path(path).suffix != ".safetensors":  # by which it is known when it is read
        raise ValueError(f"{path} is no name for weights; end it in .safetensors.")
    about = {
        "config": config_to_json(model.config),
        "hand": model.hand.name,
        "data": data,
        "licence": licence,
        "version": __version__,
    }
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    if half:
        weights = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
        if broken := [key for key, value in weights.items() if value.is_floating_point() and not bool(value.isfinite().all())]:
            raise ValueError(f"In half precision {_first(broken)} would hold numbers that are not finite. Keep them whole (half=False).")
    with atomic_path(path) as temporary:
        try:
            save_file(weights, temporary, metadata={_METADATA_KEY: json.dumps(about)})
        except SafetensorError as error:
            raise OSError(f"{path} could not be written ({error}). Free space there, or choose another folder.") from error


def bundled_weights(name: str) -> Path:
    """The file of weights that comes with the package.

    Raises:
        ValueError: No weights of that name come with it.
    """
    if name not in BUNDLED:
        raise ValueError(f"No weights of {name!r} come with the package; those of {', '.join(BUNDLED)} do. Give a file of weights.")
    return Path(__file__).parent / "weights" / f"{name}.safetensors"


def read_info(path: StrPath) -> CheckpointInfo:
    """What a file of ours says of its weights, without reading them.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No safetensors file, or none of ours.
    """
    return _read(path, with_weights=False)[0]


def load_checkpoint(path: StrPath, hand: HandLayer | None = None) -> HandOccNet | HandGCAT:
    """A network from a file of ours, in evaluation mode.

    Args:
        path: Written by `save_checkpoint`.
        hand: None takes the hand that the file names.

    Raises:
        FileNotFoundError: No such file; or it names MANO and MANO was not converted yet.
        ValueError: Not a file of ours; weights that do not fit its config; a hand that is known by no name.
    """
    info, weights = _read(path, with_weights=True)
    if all(info.config != preset.config for preset in PRESETS.values()):  # before memory is taken for whatever a file describes
        _check_weights(weights, _shapes_of(info.config), str(path))
    if hand is None:
        hand = load_hand_named_in(path, info.hand)
    elif hand.name != info.hand:
        logger.warning("%s was trained with the %s hand; with the %s hand its shapes mean something else.", path, info.hand, hand.name)
    model = build_model(info.config, hand)
    _check_weights(weights, {key: value.shape for key, value in model.state_dict().items()}, str(path))
    model.load_state_dict(weights)
    return model.eval()


def load_released(source: StrPath | Mapping[str, object], hand: HandLayer | None = None) -> HandOccNet | HandGCAT:
    """A network from a snapshot of the authors, in evaluation mode.

    Unpickled with weights only: nothing in the file is run. Whether pose zero is the flat hand is read from the mean pose inside.

    Args:
        source: Their `.pth.tar`, or what it holds.
        hand: The hand to use; None takes the MANO arrays in the snapshot, in memory only.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No snapshot of HandOccNet or HandGCAT; what was expected and found.
    """
    where = "the snapshot" if isinstance(source, Mapping) else str(source)
    found = _snapshot_weights(source if isinstance(source, Mapping) else _unpickled(Path(source)), where)
    family = _snapshot_family(found, where)
    config, embedded = find_preset(family).config, {k[len(HAND_PREFIX) :]: v for k, v in found.items() if k.startswith(HAND_PREFIX)}
    if "th_hands_mean" in embedded:
        config = replace(config, flat_hand_mean=not bool(embedded["th_hands_mean"].any()))

    prefixes, weights, unknown = released_prefixes(config), {}, []
    for key, value in found.items():
        if key.startswith((*DEAD[family], HAND_PREFIX)) or key in GRID:
            continue
        ours = renamed(key, prefixes)
        if ours is None:
            unknown.append(key)
        else:
            weights[ours] = value
    if unknown:
        raise ValueError(f"{where} has {len(unknown)} keys that {family} has not: {_first(unknown)}. Nothing was loaded.")
    _check_weights(weights, _shapes_of(config), where)

    model = build_model(config, _embedded_hand(embedded, where) if hand is None else hand)
    model.load_state_dict(weights)
    return model.eval()


def convert_checkpoint(snapshot: StrPath, out: StrPath) -> CheckpointInfo:
    """Turn a snapshot of the authors into a file of ours, without the MANO arrays inside; errors as in `load_released`."""
    model = load_released(snapshot)
    save_checkpoint(
        model,
        out,
        data=f"converted from {Path(snapshot).name}",
        licence="its authors' (research only); the hand model's licence applies too",
    )
    return read_info(out)


def load_imagenet_trunk(model: HandOccNet | HandGCAT, path: StrPath | None = None) -> None:
    """Start a network's ResNet from torchvision's ImageNet weights.

    Args:
        model: A network with a ResNet of full width.
        path: Torchvision's file; None downloads it into the user's cache.

    Raises:
        FileNotFoundError: No such file, or it cannot be fetched.
        ValueError: Not the weights of this ResNet.
    """
    kind = model.config.trunk
    file = _downloaded(_IMAGENET_FILES[kind]) if path is None else _unpickled(Path(path))
    where = f"{path or _IMAGENET_FILES[kind]} ({kind}, width {model.config.trunk_width})"
    weights = {key: value for key, value in _tensors(file, where).items() if not key.startswith("fc.")}
    resnet = model.trunk.resnet
    expected = {key: value.shape for key, value in resnet.state_dict().items()}
    # Files of torch before 0.4.1 do not count batches; the count is not used at this momentum.
    counts = {key: value for key, value in resnet.state_dict().items() if key.endswith("num_batches_tracked")}
    weights = counts | weights
    _check_weights(weights, expected, where)
    resnet.load_state_dict(weights)


def _shapes_of(config: ModelConfig) -> dict[str, torch.Size]:
    """Names and shapes of a network's weights, without making them; on PyTorch's meta device, whose first use takes seconds."""
    with torch.device("meta"):
        return {key: value.shape for key, value in build_model(config).state_dict().items()}


def _check_weights(found: Mapping[str, Tensor], expected: Mapping[str, torch.Size], where: str) -> None:
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    shapes = [
        f"{key} is {tuple(found[key].shape)}, expected {tuple(s)}" for key, s in expected.items() if key in found and found[key].shape != s
    ]
    problems = [f"{len(missing)} of {len(expected)} expected keys are missing: {_first(missing)}"] if missing else []
    problems += [f"{len(extra)} keys are not of this network: {_first(extra)}"] if extra else []
    problems += [f"{len(shapes)} keys have another shape: {_first(shapes)}"] if shapes else []
    if not problems:
        broken = [key for key, value in found.items() if value.is_floating_point() and not bool(value.isfinite().all())]
        problems = [f"{len(broken)} keys hold numbers that are not finite: {_first(broken)}"] if broken else []
    if problems:
        raise ValueError(f"The weights in {where} do not fit. {'; '.join(problems)}. Nothing was loaded.")


def _first(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _read(path: StrPath, with_weights: bool) -> tuple[CheckpointInfo, dict[str, Tensor]]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"Weights not found: {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()} if with_weights else {}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        hint = "For the authors' snapshots: 'occhand convert checkpoint SNAPSHOT OUT'."
        raise ValueError(f"{path} is no whole safetensors file ({error}). {hint}") from error
    if _METADATA_KEY not in metadata:
        raise ValueError(
            f"{path} was not written by occhand: its header has no '{_METADATA_KEY}' entry, only {sorted(metadata) or 'nothing'}."
        )
    try:
        about = json.loads(metadata[_METADATA_KEY])
        texts = [about[key] for key in ("hand", "data", "licence", "version")]
        if not all(isinstance(text, str) for text in texts) or not isinstance(about["config"], dict):
            raise TypeError("an entry of the wrong type")
        return CheckpointInfo(config_from_json(about["config"]), *texts), weights
    except BROKEN_JSON as error:
        raise ValueError(f"{path} has a header that does not describe a network: {error}.") from error


def _unpickled(path: Path) -> object:
    if not path.is_file():
        raise FileNotFoundError(f"Weights not found: {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle protocol; what cannot be read safely is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is cut, foreign or hostile
        # The first sentence says what is wrong; the next may advise to load it unsafely.
        reason = re.split(r"\.\s|\n", str(error).strip())[0]
        raise ValueError(
            f"{path} is no file of PyTorch weights that can be read without running code ({reason}). Nothing was loaded. Fetch it again."
        ) from error


def _downloaded(url: str) -> object:
    file = cache_dir() / "imagenet" / Path(url).name
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), hash_prefix=file.stem.rpartition("-")[2], progress=False)
        except (OSError, HTTPException, RuntimeError) as error:  # the last: another checksum
            raise FileNotFoundError(
                f"Weights of ImageNet could not be fetched ({' '.join(str(error).split())}). Download {url} where there is a network, and "
                "name the file (--imagenet FILE)."
            ) from error
    return _unpickled(file)


def _tensors(values: object, where: str) -> dict[str, Tensor]:
    if not isinstance(values, Mapping) or not values or not all(isinstance(value, Tensor) for value in values.values()):
        found = f"keys {_first([str(key) for key in values])}" if isinstance(values, Mapping) else f"a {type(values).__name__}"
        raise ValueError(f"{where} holds {found}, expected a table of weights by name.")
    return {str(key): value for key, value in values.items()}


def _snapshot_weights(snapshot: object, where: str) -> dict[str, Tensor]:
    """The 'network' part (or the table itself), without the prefix that DataParallel leaves."""
    inner = snapshot["network"] if isinstance(snapshot, Mapping) and "network" in snapshot else snapshot
    return {key.removeprefix("module."): value for key, value in _tensors(inner, where).items()}


def _snapshot_family(weights: Mapping[str, Tensor], where: str) -> Family:
    for family, mark in (("handoccnet", "FIT."), ("handgcat", "KGC.")):
        if any(key.startswith(mark) for key in weights):
            return family  # type: ignore[return-value]
    raise ValueError(f"{where} is no snapshot of HandOccNet (keys FIT...) or HandGCAT (KGC...); found {_first(sorted(weights))}.")


def _embedded_hand(buffers: Mapping[str, Tensor], where: str) -> HandLayer:
    """The MANO layer inside a snapshot. Both releases are of the right hand."""
    for name, shape in _HAND_BUFFERS.items():
        if name not in buffers or tuple(buffers[name].shape) != shape:
            found = f"shape {tuple(buffers[name].shape)}" if name in buffers else "nothing"
            raise ValueError(
                f"{where} has no usable hand inside: {HAND_PREFIX}{name} has {found}, expected {shape}. Give a hand (hand=...)."
            )
    arrays = {name: buffers[name].double().numpy() for name in _HAND_BUFFERS}
    parameters = HandParameters(
        v_template=arrays["th_v_template"][0],
        faces=buffers["th_faces"].numpy().astype(np.int64),
        shapedirs=arrays["th_shapedirs"],
        posedirs=arrays["th_posedirs"],
        weights=arrays["th_weights"],
        J_regressor=arrays["th_J_regressor"],
        hands_mean=arrays["th_hands_mean"][0],
        hands_components=np.zeros((45, 45)),  # snapshots keep 6 of 45, and the networks use none
        side="right",
        name="mano",
    )
    return HandLayer(parameters)
