"""From a name, or a file of weights, to an estimator or a network."""

from __future__ import annotations

import difflib
import os
from functools import partial
from pathlib import Path

from occhand.estimators import DefaultEstimator, Estimator, FitEstimator, NetworkEstimator
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.models.checkpoint import BUNDLED, bundled_weights, load_checkpoint, load_released
from occhand.models.config import family_of
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.runtimes.choice import Precision, RuntimeChoice, resolve
from occhand.runtimes.network import EXPORTED_SUFFIXES, ReadyNetwork, load_exported, make_ready

DEFAULT_MODEL = "auto"
"""`handgcat-open-s`, refined by the fit, for hands with 2D joints; `handoccnet-open-s`, not refined, for hands without."""
Plain = HandOccNet | HandGCAT
_JOINTS_MODEL, _PIXELS_MODEL = "handgcat-open-s", "handoccnet-open-s"


def load_estimator(
    name: str | os.PathLike[str] = DEFAULT_MODEL,
    hand: str | os.PathLike[str] | None = None,
    refine: bool | None = None,
    joints_from: str | os.PathLike[str] | None = None,
    runtime: RuntimeChoice | None = None,
    precision: Precision | None = None,
) -> Estimator:
    """What poses hands; arguments and errors as of `Predictor.from_pretrained`."""
    name = os.fspath(name)
    if runtime:
        resolve(runtime, precision or "fp32")
    layer = None if hand is None else load_hand(hand)
    if name == "fit":
        if joints_from is not None:
            raise ValueError("Joints from HandOccNet are for HandGCAT; the fit takes the detector's. Name HandGCAT's weights as the model.")
        if runtime or precision:
            raise ValueError("The fit is no network: runtime and precision are for weights. Name a network's weights as the model.")
        return FitEstimator(layer or load_hand("open"))
    load = partial(_load_network, hand=layer, runtime=runtime, precision=precision)

    def networks(name: str, joints_model: ReadyNetwork | None = None, joints_plain: Plain | None = None) -> NetworkEstimator:
        model, plain = load(name)
        if joints_model is not None and (family_of(joints_model.config), family_of(model.config)) != ("handoccnet", "handgcat"):
            raise ValueError(
                "2D joints go from a HandOccNet to a HandGCAT: name HandGCAT's weights as the model, HandOccNet's for the joints."
            )
        return NetworkEstimator(model, refine, joints_model, plain, name if name in BUNDLED else None, joints_plain)

    if joints_from is not None:
        return networks(_JOINTS_MODEL if name == DEFAULT_MODEL else name, *load(joints_from))
    return DefaultEstimator(networks(_JOINTS_MODEL), partial(networks, _PIXELS_MODEL)) if name == DEFAULT_MODEL else networks(name)


def load_weights(name: str | os.PathLike[str], hand: HandLayer | str | None = None) -> Plain:
    """A network in evaluation mode.

    Args:
        name: A file of ours (`.safetensors`), a snapshot of the authors (`.pth.tar`), or the name of weights that come with the package.
        hand: The hand, or its name as for `load_hand`; None: the one that the file names or holds.

    Raises:
        ValueError: None of these, or a file that holds something else.
        FileNotFoundError: No such file, or no such hand.
    """
    name, layer = os.fspath(name), load_hand(hand) if isinstance(hand, str) else hand
    if name in BUNDLED:
        return load_checkpoint(bundled_weights(name), layer)
    path = Path(name)
    if path.suffix == ".safetensors":
        return load_checkpoint(path, layer)
    if path.suffix in (".tar", ".pth", ".pt"):
        return load_released(path, layer)
    near = difflib.get_close_matches(name, (DEFAULT_MODEL, "fit", *BUNDLED), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"Unknown model {name!r}; expected 'auto', 'fit', {', '.join(map(repr, BUNDLED))}, a .safetensors file, an authors' snapshot "
        f"(.pth.tar) or an exported network (.onnx, .xml).{hint}"
    )


def _load_network(
    name: str | os.PathLike[str], hand: HandLayer | None, runtime: RuntimeChoice | None, precision: Precision | None
) -> tuple[ReadyNetwork, Plain | None]:
    """A network ready to run, and as it is where the file has it."""
    path = Path(name)
    if path.suffix in EXPORTED_SUFFIXES:
        return load_exported(path, runtime or "auto", precision, hand), None
    plain = load_weights(name, hand)
    return make_ready(plain, runtime or "torch", precision or "fp32"), plain
