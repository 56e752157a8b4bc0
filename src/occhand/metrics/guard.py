"""Recognise predictions in a wrong unit, joint order, axis convention or sample order before they become a number.

Half of these mistakes do not show in aligned errors, the other half look like a weak model. Each is tried the other way round; where that
fits far better than what was given, it is named with its fix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from occhand.hand.skeleton import FINGERS, HO3D_FROM_HOUSE, HOUSE_FROM_FPHA, HOUSE_FROM_HO3D
from occhand.metrics.functional import pa_mpjpe, root_relative_mpjpe

_MOST_SAMPLES = 300
"""Tried, evenly over the data: a mistake is in all of them."""
_FAR_BETTER = 0.6
"""Of the error as given. A sound prediction is never that much better read another way: 9 mm in the right order are about 35 in another."""
_SMALL_ERROR = 0.005
"""Metres; below it nothing is wrong."""
_FAR_AWAY = 1e3
"""Metres: stands for a wrist that is not known, near to none that is."""
_BOTH = "joints"
"""What hands of both sides are called."""
_SAME_PLACE = 2e-4
"""Metres between a given wrist and one re-attached to it, in files of five decimals."""

_UNITS = {1e3: "millimetres", 1e2: "centimetres", 1e-3: "metres divided by 1000"}


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    return tuple(np.argsort(order).tolist())


def _per_finger(fingers: Sequence[int], places: Sequence[int]) -> tuple[int, ...]:
    return (0, *(1 + 4 * finger + place for finger in fingers for place in places))


_AS_GIVEN = tuple(range(21))
_ORDERS = {
    "HO-3D's (MANO's joints, then the tips)": HOUSE_FROM_HO3D,
    "the house order converted from HO-3D's once too often": HO3D_FROM_HOUSE,
    "FPHA's (wrist, MCPs, then finger by finger)": HOUSE_FROM_FPHA,
    "the house order converted from FPHA's once too often": _inverse(HOUSE_FROM_FPHA),
    "tip first in each finger (RHD's)": _per_finger(range(len(FINGERS)), (3, 2, 1, 0)),
    "pinky first": _per_finger((4, 3, 2, 1, 0), (0, 1, 2, 3)),
}
"""Orders met in the wild, and the joint of such an array that stands at each place of the house order."""
_AXES = {
    "OpenGL axes (y up, z backward)": ((1.0, -1.0, -1.0), "Multiply y and z by -1"),
    "mirrored hands (x negated)": ((-1.0, 1.0, 1.0), "Multiply x by -1; a left hand predicted in a mirrored picture is mirrored back"),
    "upside down (y negated alone)": ((1.0, -1.0, 1.0), "Multiply y by -1"),
    "inside out (z negated alone)": ((1.0, 1.0, -1.0), "Multiply z by -1"),
}


class Mistake(NamedTuple):
    """What predictions seem to be, and what to do about it."""

    what: str
    evidence: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what} ({self.evidence}). {self.fix}."


def find_mistakes(
    predicted: Float[Tensor, "n 21 3"],
    truth: Float[Tensor, "n 21 3"],
    keys: Sequence[str],
    sides: Sequence[str],
    is_absolute: bool = False,
) -> list[Mistake]:
    """What is systematically wrong with predictions, if anything; samples without truth are passed over, and so are hands without extent.

    Args:
        predicted: As they came, meant to be metres, OpenCV axes, house order, in the order of `keys`.
        truth: NaN where it is not known.
        keys: Of the samples, in the benchmark's order.
        sides: `right` or `left`, of each.
        is_absolute: Whether places in the camera frame are scored.
    """
    has_extent = _extent(predicted) >= 1e-9  # a hand without one, such as zeros for "no detection", has no order to be wrong in
    known = torch.nonzero(truth.isfinite().flatten(1).all(1) & has_extent).flatten()
    rows = known[torch.linspace(0, len(known) - 1, min(_MOST_SAMPLES, len(known))).round().long()] if len(known) else known
    predicted, goal = predicted.double(), truth.double()[rows]
    if not len(rows):
        return []
    found = []
    ratio = float((_extent(predicted[rows]) / _extent(goal)).median())
    for factor, unit in _UNITS.items():
        if factor / 2.5 < ratio < factor * 2.5:
            evidence = f"the median hand is {ratio:.3g} times as large as the true one"
            found.append(Mistake(f"The joints seem to be in {unit}", evidence, f"Divide by {factor:g}" if factor > 1 else "Give metres"))
            predicted = predicted / factor
    mended = predicted.clone()  # what is wrong with each sample, before samples are compared with each other
    for chosen, name in _by_side(rows, sides):
        order, mistakes = _wrong_order(predicted[rows[chosen]], goal[chosen], name)
        axes, more = _wrong_axes(predicted[rows[chosen]][:, order], goal[chosen], name)
        found += [mistake for mistake in (*mistakes, *more) if mistake not in found]
        alike = [row for row, side in enumerate(sides) if name == _BOTH or side == sides[int(rows[chosen[0]])]]
        mended[alike] = predicted[alike][:, order] * predicted.new_tensor(axes)
    predicted = mended
    found += _wrong_samples(predicted, goal, truth.double(), rows, keys)
    wrist, true_wrist = (points[:, 0].norm(dim=-1).median() for points in (predicted[rows], goal))
    if is_absolute and wrist < 0.01 < 0.1 < true_wrist:
        evidence = f"the true wrist is {true_wrist:.2f} m away from the camera"
        found.append(Mistake("The hands stand at the camera: they are relative to their wrist", evidence, "Re-attach the given wrist"))
    return found


def _extent(joints: Float[Tensor, "n 21 3"]) -> Float[Tensor, "n"]:
    return (joints.amax(1) - joints.amin(1)).norm(dim=-1)


def _by_side(rows: Tensor, sides: Sequence[str]) -> list[tuple[Tensor, str]]:
    """Rows of each side apart, since a left hand that was not mirrored back is a mistake of left hands alone."""
    is_left = torch.tensor([sides[row] == "left" for row in rows.tolist()])
    if is_left.all() or not is_left.any():
        return [(torch.arange(len(rows)), _BOTH)]
    return [(torch.nonzero(is_left).flatten(), "left hands"), (torch.nonzero(~is_left).flatten(), "right hands")]


def _wrong_order(predicted: Tensor, truth: Tensor, name: str) -> tuple[list[int], list[Mistake]]:
    """Judged after alignment with reflections, which forgives all but the order."""
    errors = {what: _median(pa_mpjpe(predicted[:, list(order)], truth)) for what, order in {"": _AS_GIVEN, **_ORDERS}.items()}
    best = min(errors, key=lambda what: errors[what])
    if not _is_far_better(errors[best], errors[""]):
        return list(_AS_GIVEN), []
    fix = f"Reorder them: joints[:, {list(_ORDERS[best])}]"
    return list(_ORDERS[best]), [Mistake(f"The {name} seem to be in another order: {best}", _evidence(errors, best, "PA-MPJPE"), fix)]


def _wrong_axes(predicted: Tensor, truth: Tensor, name: str) -> tuple[tuple[float, ...], list[Mistake]]:
    candidates = {"": (1.0, 1.0, 1.0), **{what: signs for what, (signs, _) in _AXES.items()}}
    errors = {what: _median(root_relative_mpjpe(predicted * predicted.new_tensor(signs), truth)) for what, signs in candidates.items()}
    best = min(errors, key=lambda what: errors[what])
    if not _is_far_better(errors[best], errors[""]):
        return candidates[""], []
    return candidates[best], [Mistake(f"The {name} seem to have {best}", _evidence(errors, best, "root-relative MPJPE"), _AXES[best][1])]


def _wrong_samples(predicted: Tensor, goal: Tensor, truth: Tensor, rows: Tensor, keys: Sequence[str]) -> list[Mistake]:
    """Samples in the order of their names, or in any other that re-attached wrists give away."""
    place_by_name = {key: place for place, key in enumerate(sorted(keys))}
    by_name = torch.tensor([place_by_name[keys[row]] for row in rows.tolist()])
    errors = {
        "": _median(root_relative_mpjpe(predicted[rows], goal)),
        "sorted": _median(root_relative_mpjpe(predicted[by_name], goal)),
    }
    if _is_far_better(errors["sorted"], errors[""]):
        evidence = _evidence(errors, "sorted", "root-relative MPJPE")
        return [Mistake("The samples seem to be sorted by name", evidence, "Keep the order of the benchmark's own list")]
    wrists = truth[:, 0]
    distances = torch.cdist(predicted[rows, 0], torch.where(wrists.isfinite(), wrists, _FAR_AWAY))
    nearest = distances.min(dim=1)
    is_elsewhere = (nearest.values < _SAME_PLACE) & (distances[torch.arange(len(rows)), rows] > _SAME_PLACE)
    if is_elsewhere.double().mean() < 0.5:
        return []
    first = int(torch.nonzero(is_elsewhere)[0])
    evidence = f"the wrist predicted for {keys[int(rows[first])]} is that of {keys[int(nearest.indices[first])]}"
    return [Mistake("The samples seem to be in another order", evidence, "Keep the order of the benchmark's own list")]


def _median(errors: Float[Tensor, "n"]) -> float:
    return float(errors.median())


def _is_far_better(best: float, given: float) -> bool:
    return given > _SMALL_ERROR and best < _FAR_BETTER * given


def _evidence(errors: dict[str, float], best: str, measure: str) -> str:
    return f"{measure} {1e3 * errors['']:.1f} mm as given, {1e3 * errors[best]:.1f} mm read that way"
