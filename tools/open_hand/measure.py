"""What the finished hand measures: `python -m tools.open_hand.measure` prints the table of its documentation."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from occhand.hand.assets import OPEN_HAND, load_parameters
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.hand.prior import rotations_from_angles
from occhand.hand.skeleton import MANO_JOINT_NAMES
from tools.open_hand.anatomy import HandShape, skeleton, to_mm
from tools.open_hand.correctives import BENDS_BELOW, GROUPS, bone_motions_mm, group_angles, lost_by_skinning
from tools.open_hand.field import hand_field
from tools.open_hand.intersect import self_intersections
from tools.open_hand.mesh import boundary_loop, mesh_edges, triangle_quality
from tools.open_hand.shape_space import ShapeSpace, learn_shape_space


def capped_volume(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> float:
    """Volume with the wrist loop closed by a fan, in the cube of the vertices' unit."""
    loop = boundary_loop(faces)
    fan = [(loop[(i + 1) % len(loop)], loop[i], len(vertices)) for i in range(len(loop))]
    closed = np.concatenate([faces, fan])
    points = np.concatenate([vertices, vertices[loop].mean(0, keepdims=True)])
    a, b, c = (points[closed[:, i]] for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def pose_vertices(hand: HandLayer, angles: Float[np.ndarray, "b 16 3"], axes: Float[np.ndarray, "16 3 3"]) -> Float[np.ndarray, "b 778 3"]:
    """Vertices of the mean hand at anatomical joint angles, metres."""
    with torch.no_grad():
        return hand(rotations_from_angles(torch.from_numpy(angles), torch.from_numpy(axes)), torch.zeros(len(angles), 10)).vertices.numpy()


def volume_changes(hand: HandLayer, angles: Float[np.ndarray, "b 16 3"], axes: Float[np.ndarray, "16 3 3"]) -> Float[np.ndarray, "b"]:
    """Relative change of the capped volume from rest."""
    faces = hand.faces.numpy()
    rest = capped_volume(hand.v_template.numpy().astype(np.float64), faces)
    return np.array([capped_volume(v.astype(np.float64), faces) / rest - 1 for v in pose_vertices(hand, angles, axes)])


def bent(joint: str, flexion_deg: float) -> Float[np.ndarray, "16 3"]:
    """Angles of a hand with one joint flexed."""
    angles = np.zeros((16, 3), np.float32)
    angles[MANO_JOINT_NAMES.index(joint), 0] = np.deg2rad(flexion_deg)
    return angles


def hand_lengths(hand: HandLayer, betas: Float[np.ndarray, "b 10"]) -> Float[np.ndarray, "b"]:
    """Wrist joint to the tip of the middle finger along the flat hand, metres."""
    with torch.no_grad():
        identity = torch.eye(3).expand(len(betas), 16, 3, 3)
        joints = hand(identity, torch.from_numpy(betas.astype(np.float32))).joints
    return (joints[:, 12] - joints[:, 0]).norm(dim=-1).numpy()


def flipped_faces(vertices: Float[np.ndarray, "v 3"], rest: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> int:
    """How many faces look the other way than in `rest`."""

    def normals(points: np.ndarray) -> np.ndarray:
        return np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]])

    return int(((normals(vertices) * normals(rest)).sum(1) <= 0).sum())


def shapes_within(sd: float, count: int, seed: int = 0) -> Float[np.ndarray, "b 10"]:
    """Each component at -sd and +sd alone, then random shapes inside that range."""
    alone = sd * np.concatenate([np.eye(10), -np.eye(10)])
    return np.concatenate([alone, np.clip(np.random.default_rng(seed).standard_normal((count, 10)), -sd, sd)])


def measure(path: Path) -> list[tuple[str, str]]:
    """Rows of the documentation's table that need only the file."""
    hand = load_hand(path)
    with np.load(path) as arrays:
        axes, names, key_poses = arrays["joint_axes"], arrays["key_pose_names"].tolist(), arrays["key_poses"]
        weights, posedirs, shapedirs = arrays["weights"], arrays["posedirs"], arrays["shapedirs"]
        limits = arrays["joint_limits"]
    plain = HandLayer(replace(load_parameters(path), posedirs=np.zeros_like(posedirs)))
    faces, rest = hand.faces.numpy(), hand.v_template.numpy().astype(np.float64)
    quality = triangle_quality(rest, faces)
    off_field = np.abs(hand_field(HandShape()).distance(to_mm(rest))).max()
    fist = key_poses[names.index("fist")]
    posed = np.stack([*(bent(f"{f}2", 90) for f in ("index", "middle", "ring", "pinky")), bent("index1", 80), fist])
    volume = 100 * volume_changes(hand, posed, axes)
    lengths = 1e3 * hand_lengths(hand, np.random.default_rng(1).standard_normal((4000, 10)))
    shapes = rest + np.einsum("vak,bk->bva", shapedirs, shapes_within(2.5, 40))
    crossings = [len(self_intersections(v, faces)) for v in shapes]
    flips = [flipped_faces(v, rest, faces) for v in shapes]
    return [
        ("vertices, faces, edges, wrist loop", f"{len(rest)}, {len(faces)}, {len(mesh_edges(faces))}, {len(boundary_loop(faces))}"),
        ("triangle quality, smallest / mean", f"{quality.min():.2f} / {quality.mean():.2f}"),
        ("largest distance of a vertex from the implicit surface", f"{off_field:.4f} mm"),
        ("faces that cross in rest", f"{len(self_intersections(rest, faces))}"),
        ("faces that cross, faces flipped, in 60 shapes within 2.5 SD", f"{sum(crossings)}, {sum(flips)}"),
        ("breadth at the knuckles; of the middle finger's PIP and DIP", _breadths(to_mm(rest))),
        ("volume with 26 mm of forearm", f"{1e6 * capped_volume(rest, faces):.0f} cm3"),
        ("volume change, PIP of index, middle, ring, pinky at 90 degrees", " / ".join(f"{v:.1f}" for v in volume[:4]) + " %"),
        ("volume change, index MCP at 80 degrees", f"{volume[4]:.1f} %"),
        (
            "volume change, fist, with correctives / without",
            f"{volume[5]:.1f} / {100 * volume_changes(plain, fist[None], axes)[0]:.1f} %",
        ),
        ("hand length over betas ~ N(0, 1)", f"{lengths.mean():.1f} mm, SD {lengths.std():.1f} mm"),
        ("joints that move a vertex, mean / most", f"{(weights > 0).sum(1).mean():.1f} / {(weights > 0).sum(1).max()}"),
        ("faces that cross in the fist, with correctives / without", f"{_crossings(hand, fist, axes)} / {_crossings(plain, fist, axes)}"),
        ("bending vertices off the posed surface, unseen poses, without correctives", _off_posed_surface(plain, axes, limits)),
        ("the same with correctives", _off_posed_surface(hand, axes, limits)),
        ("largest pose corrective over the key poses, before skinning", f"{_largest_corrective(posedirs, key_poses, axes):.1f} mm"),
    ]


def relearnt_shape_space(path: Path) -> ShapeSpace:
    """The shape space of a hand file, sampled again from its template."""
    with np.load(path) as arrays:
        template, weights, faces = arrays["v_template"], arrays["weights"].astype(np.float64), arrays["faces"]
    on_loop = np.zeros(len(template))
    on_loop[boundary_loop(faces)] = 1
    return learn_shape_space(to_mm(template.astype(np.float64)), weights, on_loop)


def regressor_errors_mm(space: ShapeSpace, regressor: Float[np.ndarray, "16 v"]) -> Float[np.ndarray, "16"]:
    """Mean distance of each regressed joint from the true one over the sampled hands, mm."""
    regressed = np.einsum("jv,svc->sjc", regressor, space.vertices)
    return np.linalg.norm(regressed - space.joints, axis=2).mean(0)


def proportions(shape: HandShape) -> dict[str, float]:
    """What one would call a hand by, from the factors it was made of."""
    fingers, bones = shape.finger_length[:4], shape.segment_length[:4]
    lengths = shape.finger_length * shape.segment_length.mean(1)
    return {
        "finger length": float(fingers.mean() * bones.mean()),
        "finger breadth": float(shape.finger_breadth.mean()),
        "palm length": shape.palm_length,
        "palm breadth": shape.palm_breadth,
        "palm depth": shape.palm_depth,
        "thumb to fingers": float(lengths[4] / lengths[:4].mean()),
        "index to ring": float(lengths[0] / lengths[3]),
        "middle to others": float(lengths[1] / lengths[[0, 2, 3]].mean()),
        "pinky to others": float(lengths[2] / lengths[[0, 1, 3]].mean()),
        "proximal to end bones": float(bones[:, 0].mean() / bones[:, 1:].mean()),
        "middle to last bone": float(bones[:, 1].mean() / bones[:, 2].mean()),
        "fingertip breadth": shape.tip_breadth,
        "ball of the thumb": shape.thenar,
        "ball of the pinky": shape.hypothenar,
    }


def measure_shapes(path: Path) -> list[tuple[str, str]]:
    """Rows that need the shape space again: what it explains, and what each component goes with (correlation in brackets)."""
    space = relearnt_shape_space(path)
    with np.load(path) as arrays:
        errors = regressor_errors_mm(space, arrays["J_regressor"])
        moves = 1e3 * np.sqrt((arrays["shapedirs"].astype(np.float64) ** 2).sum(1).mean(0))
    values = np.array([list(proportions(shape).values()) for shape in space.shapes])
    names = list(proportions(HandShape()))
    correlation = np.corrcoef(space.betas.T, values.T)
    among = np.abs(correlation[:10, :10] - np.eye(10)).max()
    rows = [
        ("variance that ten components hold", f"{100 * space.explained:.2f} %"),
        ("variance of form, size apart, that components 2 to 10 hold", f"{100 * space.explained_form:.1f} %"),
        ("largest correlation between two components", f"{among:.2f}"),
        ("joint regressor error over the sampled hands, mean / worst joint", f"{errors.mean():.2f} / {errors.max():.2f} mm"),
        ("component 1", f"size; {moves[0]:.2f} mm per unit"),
    ]
    for k in range(1, 10):
        with_factor = correlation[k, 10:]
        best = np.argsort(-np.abs(with_factor))[:3]
        text = ", ".join(f"{names[i]} ({with_factor[i]:+.2f})" for i in best if abs(with_factor[i]) > 0.25)
        rows.append((f"component {k + 1}", f"{text}; {moves[k]:.2f} mm per unit"))
    return rows


def _crossings(hand: HandLayer, angles: Float[np.ndarray, "16 3"], axes: Float[np.ndarray, "16 3 3"]) -> int:
    return len(self_intersections(pose_vertices(hand, angles[None], axes)[0].astype(np.float64), hand.faces.numpy()))


def _off_posed_surface(hand: HandLayer, axes: np.ndarray, limits: np.ndarray) -> str:
    """Mean and 95th percentile of the (capped) step to the posed surface, over poses that no corrective was learnt from."""
    steps, field = [], hand_field(HandShape())
    weights = hand.skin_weights.numpy().T
    for group in GROUPS:
        angles = torch.from_numpy(group_angles(group, limits, 30, seed=1)).float()
        with torch.no_grad():
            posed = hand(rotations_from_angles(angles, torch.from_numpy(axes)), torch.zeros(len(angles), 10))
        bends = (weights[:, list(group)] > 0.01).any(1) & (weights.max(1) < BENDS_BELOW)
        motions = bone_motions_mm(posed.transforms.numpy().astype(np.float64), hand.joint_template.numpy().astype(np.float64))
        vertices = to_mm(posed.vertices.numpy()[:, bends].astype(np.float64))
        steps.append(np.linalg.norm(lost_by_skinning(vertices, *motions, field), axis=2).ravel())
    off = np.concatenate(steps)
    return f"mean {off.mean():.2f}, 95th percentile {np.percentile(off, 95):.1f} mm"


def _breadths(points: Float[np.ndarray, "v 3"]) -> str:
    chains = skeleton(HandShape())
    behind, ahead = chains["pinky"][0, 0] - 4, chains["middle"][0, 0]
    not_thumb = points[:, 1] < chains["index"][0, 1] + 15
    knuckles = points[(points[:, 0] > behind) & (points[:, 0] < ahead) & not_thumb]
    text = f"{np.ptp(knuckles[:, 1]):.0f} mm"
    for joint in chains["middle"][1:3]:
        ring = points[(np.abs(points[:, 0] - joint[0]) < 3) & (np.abs(points[:, 1] - joint[1]) < 12)]
        text += f"; {np.ptp(ring[:, 1]):.1f} mm"
    return text


def _largest_corrective(posedirs: np.ndarray, angles: np.ndarray, axes: np.ndarray) -> float:
    rotations = rotations_from_angles(torch.from_numpy(angles), torch.from_numpy(axes)).numpy()
    features = (rotations[:, 1:] - np.eye(3)).reshape(len(angles), -1)
    return float(1e3 * np.linalg.norm(np.einsum("vaf,bf->bva", posedirs, features), axis=2).max())


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tools.open_hand.measure", description=__doc__)
    parser.add_argument("--hand", type=Path, default=OPEN_HAND, help="hand file to measure (default: the package's)")
    path = parser.parse_args().hand
    for name, value in measure(path) + measure_shapes(path):
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
