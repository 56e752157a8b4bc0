"""Whether sampled grasps hold, do not enter the thing and do not cross the hand's own fingers; how fast they come; histograms and pictures.

Hands: betas N(0, 1), clipped at 2.5. The hand is posed by `HandLayer`. Two judges share nothing with the sampler: trimesh finds which
vertices lie in the thing's mesh and how deep, and solid angles find vertices of one digit in another digit or in the palm.

Run: OMP_NUM_THREADS=1 python -m benchmarks.grasps [--grasps 1000] [--out out/grasps]
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image, ImageDraw
from trimesh.triangles import closest_point

from occhand.hand.assets import load_parameters
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.hand.prior import rotations_from_angles
from occhand.render.draw import draw_label
from occhand.render.shade import PALETTE, Mesh, draw_meshes
from occhand.synth.closing import deepest_overlap, place
from occhand.synth.grasp import Grasp, GraspSampler
from occhand.synth.objects import SolidObject
from occhand.synth.pose import OVERLAP_TOLERANCE
from tests.synth.penetration import PenetrationGauge

SEED = 20_240_611
CROSSING_MM = 4.0
"""Soft tissue gives way by 2 to 3 mm in a firm touch; what lies deeper in another digit has crossed it."""
NEAR = 0.003
"""Metres within which a vertex counts as in contact."""
INK, BAR = (40, 44, 52), (138, 172, 206)
THING_COLOUR = (120, 160, 205)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grasps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("out/grasps"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    sampler, hand = GraspSampler.load(), load_hand()
    sampler.sample(np.random.default_rng(0), np.zeros(10))  # compile
    rng = np.random.default_rng(SEED)
    betas = np.clip(rng.standard_normal((options.grasps, 10)), -2.5, 2.5)
    start, cpu_start = time.perf_counter(), time.process_time()
    grasps = [sampler.sample(rng, b) for b in betas]
    wall, cpu = (1e3 * (stop - begin) / len(grasps) for stop, begin in ((time.perf_counter(), start), (time.process_time(), cpu_start)))
    print(f"{len(grasps)} grasps, rejections included: {wall:.2f} ms each by the clock, {cpu:.2f} ms of CPU")

    values = measure(sampler, hand, grasps)
    report(values, grasps)
    (options.out / "grasps.json").write_text(json.dumps({name: np.round(v.astype(float), 3).tolist() for name, v in values.items()}))
    Image.fromarray(histograms(values)).save(options.out / "histograms.png")
    Image.fromarray(sheet(sampler, hand, grasps[:40])).quantize(128).save(options.out / "grasps.png")
    print(f"Wrote {options.out}/grasps.json, histograms.png and grasps.png")


def measure(sampler: GraspSampler, hand: HandLayer, grasps: list[Grasp]) -> dict[str, np.ndarray]:
    """One number per grasp and name."""
    parameters = load_parameters("open")
    gauge = PenetrationGauge(parameters.faces, parameters.weights)
    values: dict[str, list[float]] = defaultdict(list)
    for grasp in grasps:
        vertices = posed(sampler, hand, grasp)
        points = (vertices - grasp.solid_t) @ grasp.solid_R
        distance = grasp.solid.signed_distance(points)
        _, compiled = sampler.shapes.shaped(grasp.betas)
        overlap = deepest_overlap(compiled, place(compiled, grasp.angles, np.eye(3), np.zeros(3)))
        values["penetration_mm"].append(1e3 * max(0.0, -distance.min()))
        values["penetration_by_mesh_mm"].append(1e3 * depth_in_mesh(grasp.solid, points))
        values["touching_segments"].append(len(grasp.touching))
        values["thumb_touches"].append(bool({"thumb2", "thumb3"} & set(grasp.touching)))
        values["vertices_within_3_mm"].append(int((distance < NEAR).sum()))
        values["capsule_overlap_mm"].append(1e3 * overlap)
        values["self_penetration_by_mesh_mm"].append(1e3 * gauge.depth(vertices).max())
    return {name: np.array(v) for name, v in values.items()}


def posed(sampler: GraspSampler, hand: HandLayer, grasp: Grasp) -> np.ndarray:
    axes = torch.as_tensor(sampler.shapes.axes, dtype=torch.float32)
    rotations = rotations_from_angles(torch.as_tensor(grasp.angles, dtype=torch.float32), axes)
    return hand(rotations, torch.as_tensor(grasp.betas, dtype=torch.float32)).vertices.double().numpy()


def depth_in_mesh(solid: SolidObject, points: np.ndarray) -> float:
    """How deep the deepest point lies in any of the thing's shells, metres."""
    deepest = 0.0
    for shell in trimesh.Trimesh(solid.vertices, solid.faces, process=False).split(only_watertight=False):
        low, high = shell.bounds
        inside = points[((points > low) & (points < high)).all(1)]
        if len(inside):
            inside = inside[shell.contains(inside)]
        if len(inside):
            triangles = np.asarray(shell.triangles)
            nearest = closest_point(np.tile(triangles, (len(inside), 1, 1)), np.repeat(inside, len(triangles), 0))
            nearest = nearest.reshape(len(inside), -1, 3)
            deepest = max(deepest, float(np.linalg.norm(nearest - inside[:, None], axis=-1).min(1).max()))
    return deepest


def report(values: dict[str, np.ndarray], grasps: list[Grasp]) -> None:
    for name in ("penetration_mm", "penetration_by_mesh_mm"):
        median, p90 = np.percentile(values[name], [50, 90])
        print(f"{name}: median {median:.2f}, 90th percentile {p90:.2f}, largest {values[name].max():.2f}")
    holds = (values["touching_segments"] >= 3) & values["thumb_touches"]
    print(f"three or more segments touch, the thumb among them: {holds.mean():.1%}; median {np.median(values['touching_segments']):.0f}")
    tolerance_mm = 1e3 * OVERLAP_TOLERANCE
    print(f"capsules overlap by more than {tolerance_mm:.0f} mm: {(values['capsule_overlap_mm'] > tolerance_mm).mean():.2%}")
    crossing = values["self_penetration_by_mesh_mm"]
    print(f"meshes that cross themselves (> {CROSSING_MM:.0f} mm): {(crossing > CROSSING_MM).mean():.2%}; largest {crossing.max():.2f} mm")
    print("\n| thing | power | precision | penetration median, mm | touching segments median |\n|---|---|---|---|---|")
    names = np.array([grasp.solid.name for grasp in grasps])
    for name in sorted(set(names)):
        own = names == name
        counts = [sum(g.hold == hold for g, is_own in zip(grasps, own, strict=True) if is_own) for hold in ("power", "precision")]
        middle = [np.median(values[key][own]) for key in ("penetration_mm", "touching_segments")]
        print(f"| {name} | {counts[0]} | {counts[1]} | {middle[0]:.1f} | {middle[1]:.0f} |")


def histograms(values: dict[str, np.ndarray], width: int = 420, height: int = 240) -> np.ndarray:
    """Four plain bar charts in a row."""
    charts = (
        ("penetration_mm", "deepest vertex in the thing, mm", np.arange(0, 6.01, 0.25)),
        ("touching_segments", "segments in touch", np.arange(0.5, 16.6)),
        ("vertices_within_3_mm", "vertices within 3 mm", np.arange(0, 201, 10)),
        ("self_penetration_by_mesh_mm", "deepest vertex in another digit, mm", np.arange(0, 5.01, 0.25)),
    )
    return np.hstack([_bars(values[name], title, edges, width, height) for name, title, edges in charts])


def _bars(data: np.ndarray, title: str, edges: np.ndarray, width: int, height: int) -> np.ndarray:
    counts, _ = np.histogram(np.clip(data, edges[0], edges[-1]), edges)
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    left, right, top, bottom = 16, width - 16, 34, height - 28
    x = left + (edges - edges[0]) / (edges[-1] - edges[0]) * (right - left)
    for a, b, count in zip(x, x[1:], counts, strict=False):
        if count:
            draw.rectangle((a + 1, bottom - (bottom - top) * count / counts.max(), b - 1, bottom), fill=BAR)
    draw.line((left, bottom, right, bottom), fill=INK)
    median = float(np.median(data))
    at = left + (median - edges[0]) / (edges[-1] - edges[0]) * (right - left)
    draw.line((at, top, at, bottom), fill=(190, 80, 60), width=2)
    draw.text((left, 10), f"{title} (median {median:.1f})", fill=INK, font_size=14)
    for position, label in ((left, f"{edges[0]:g}"), (right, f"{edges[-1]:g}")):
        draw.text((position, bottom + 6), label, fill=INK, font_size=12, anchor="ma")
    return np.asarray(picture)


def sheet(sampler: GraspSampler, hand: HandLayer, grasps: list[Grasp], size: int = 180, columns: int = 10) -> np.ndarray:
    """Each grasp from two sides, one above the other."""
    pictures = []
    for grasp in grasps:
        vertices = posed(sampler, hand, grasp)
        views = [_look(vertices, hand.faces.numpy(), grasp, yaw, size) for yaw in (0.5, -0.9)]
        pictures.append(draw_label(np.vstack(views), f"{grasp.solid.name}, {grasp.hold}"))
    rows = [np.hstack(pictures[start : start + columns]) for start in range(0, len(pictures) // columns * columns, columns)]
    return np.vstack(rows)


def _look(vertices: np.ndarray, faces: np.ndarray, grasp: Grasp, yaw: float, size: int) -> np.ndarray:
    """Fingers up; at yaw 0 the camera looks into the palm."""
    upright = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    cosine, sine = np.cos(yaw), np.sin(yaw)
    R = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]]) @ upright
    focal_px = 3.4 * size
    K = np.array([[focal_px, 0.0, size / 2], [0.0, focal_px, size / 2], [0.0, 0.0, 1.0]])
    thing = grasp.solid.vertices @ grasp.solid_R.T + grasp.solid_t
    meshes = [
        Mesh((points - vertices.mean(0)) @ R.T + (0.0, 0.0, 0.8), corners, colour)
        for points, corners, colour in ((vertices, faces, PALETTE[0]), (thing, grasp.solid.faces, THING_COLOUR))
    ]
    picture = draw_meshes(meshes, K, size, size)
    opacity = picture.alpha[..., None]
    return np.round(opacity * picture.rgb + (1 - opacity) * 240).astype(np.uint8)


if __name__ == "__main__":
    main()
