"""Photographs: how far a model's hands are from the detector's joints, before and after refinement, and overlays for the eye.

A detector's joints are no truth. Overlays show other people's pictures, so they stay outside of the repository.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from occhand.image_io import load_image, save_image
from occhand.predictor import Predictor
from occhand.result import HandMesh


def look_at_photos(weights: Path, photos: list[Path], out: Path) -> str:
    """A table with a row per hand; one overlay per photograph, network alone on the left, refined on the right."""
    alone, refined = (Predictor.from_pretrained(weights, refine=refine) for refine in (False, True))
    out.mkdir(parents=True, exist_ok=True)
    lines = ["| photograph | hand | network alone, % of the box | refined |", "|---|---|---|---|"]
    for photo in photos:
        picture = load_image(photo)
        found = alone.find_hands(picture)
        pairs = list(zip(alone(picture, keypoints=found), refined(picture, keypoints=found), strict=True)) if found else []
        for number, pair in enumerate(pairs):
            before, after = map(joints_error, pair)
            lines.append(f"| {photo.stem} | {number + 1}, {pair[0].side} | {before:.1f} | {after:.1f} |")
        drawn = [picture] * 2
        for pair in pairs:
            drawn = [np.asarray(hand.draw(base)) for hand, base in zip(pair, drawn, strict=True)]
        save_image(np.concatenate(drawn, axis=1), out / f"{photo.stem}.png")
    return "\n".join(lines)


def joints_error(hand: HandMesh) -> float:
    """Mean distance of the projected joints from the detector's, % of the longer side of the box around these."""
    is_known = hand.keypoint_weights > 0
    known = hand.keypoints[is_known]
    extent = float((known.max(0) - known.min(0)).max())
    return 100 * float(np.linalg.norm(hand.joints_img[is_known] - known, axis=1).mean()) / extent
