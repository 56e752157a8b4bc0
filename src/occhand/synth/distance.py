"""Signed distance to solids made of a few analytic parts, compiled.

Every part gives its distance in closed form. The distance is exact outside boxes, lathes and rings; for superquadrics it is the first-order
estimate (f - 1) / |grad f| of a function f that is convex and homogeneous of degree one, which never exceeds the true distance outside and
never understates the depth inside. Parts are joined by the minimum: exact outside, and inside an overlap at most the true depth.
"""

from __future__ import annotations

from math import cos, inf, sin, sqrt
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Int
from numba import njit

ROUNDED_BOX, LATHE, SUPERQUADRIC, RING = range(4)
"""Kinds of parts. Their `sizes`: half edges x y z and the edges' radius; none (the profile says all); half axes x y z and the exponents
along the meridians and round the z axis; radius of the ring, radius of its tube and half its opening angle, centred on +y."""

_TINY = 1e-12


class Parts(NamedTuple):
    """The parts of one solid, as arrays that compiled code can take."""

    kinds: Int[np.ndarray, "parts"]
    sizes: Float[np.ndarray, "parts 5"]
    R: Float[np.ndarray, "parts 3 3"]
    """Object from part."""
    t: Float[np.ndarray, "parts 3"]
    bounds: Float[np.ndarray, "parts"]
    """Radius of a ball about the part's origin that holds it."""
    profile: Float[np.ndarray, "points 2"]
    """Outlines (radius, height) of the lathes, one after the other, each from the axis's lower end to its upper end."""
    profile_ends: Int[np.ndarray, "parts_and_one"]


def signed_distance(points: Float[np.ndarray, "points 3"], parts: Parts) -> Float[np.ndarray, "points"]:
    """Distance of each point to the union of the parts, metres, negative inside."""
    return _distances(np.ascontiguousarray(points, dtype=np.float64), parts)


@njit(cache=True, error_model="numpy")
@no_type_check
def _distances(points, parts):
    distances = np.empty(len(points))
    for i in range(len(points)):
        distances[i] = distance_at(points[i, 0], points[i, 1], points[i, 2], parts)
    return distances


@njit(cache=True, error_model="numpy")
@no_type_check
def distance_at(x, y, z, parts):
    """Signed distance at one point of the object's frame; for compiled callers."""
    nearest = inf
    for part in range(len(parts.kinds)):
        dx, dy, dz = x - parts.t[part, 0], y - parts.t[part, 1], z - parts.t[part, 2]
        if nearest < inf and sqrt(dx * dx + dy * dy + dz * dz) - parts.bounds[part] >= nearest:
            continue
        # Scalars are read one by one: views of rows would be counted references, which cost more than the arithmetic.
        R, sizes = parts.R, parts.sizes
        px = R[part, 0, 0] * dx + R[part, 1, 0] * dy + R[part, 2, 0] * dz
        py = R[part, 0, 1] * dx + R[part, 1, 1] * dy + R[part, 2, 1] * dz
        pz = R[part, 0, 2] * dx + R[part, 1, 2] * dy + R[part, 2, 2] * dz
        kind, a, b, c, d, e = parts.kinds[part], sizes[part, 0], sizes[part, 1], sizes[part, 2], sizes[part, 3], sizes[part, 4]
        if kind == ROUNDED_BOX:
            distance = _rounded_box(px, py, pz, a, b, c, d)
        elif kind == LATHE:
            distance = _lathe(sqrt(px * px + py * py), pz, parts.profile, parts.profile_ends[part], parts.profile_ends[part + 1])
        elif kind == SUPERQUADRIC:
            distance = _superquadric(px, py, pz, a, b, c, d, e)
        else:
            distance = _ring(px, py, pz, a, b, c)
        nearest = min(nearest, distance)
    return nearest


@njit(cache=True, error_model="numpy")
@no_type_check
def _rounded_box(x, y, z, a, b, c, radius):
    qx, qy, qz = abs(x) - a + radius, abs(y) - b + radius, abs(z) - c + radius
    ox, oy, oz = max(qx, 0.0), max(qy, 0.0), max(qz, 0.0)
    return sqrt(ox * ox + oy * oy + oz * oz) + min(max(qx, qy, qz), 0.0) - radius


@njit(cache=True, error_model="numpy")
@no_type_check
def _lathe(r, z, profile, start, stop):
    """Distance to the outline in the half plane; inside where a ray away from the axis crosses the outline an odd number of times."""
    nearest, is_inside = inf, False
    for i in range(start, stop - 1):
        ar, az = profile[i, 0], profile[i, 1]
        er, ez = profile[i + 1, 0] - ar, profile[i + 1, 1] - az
        pr, pz = r - ar, z - az
        along = min(1.0, max(0.0, (pr * er + pz * ez) / (er * er + ez * ez + _TINY)))
        dr, dz = pr - along * er, pz - along * ez
        nearest = min(nearest, dr * dr + dz * dz)
        if (az > z) != (az + ez > z) and pr < er * pz / ez:
            is_inside = not is_inside
    return -sqrt(nearest) if is_inside else sqrt(nearest)


@njit(cache=True, error_model="numpy")
@no_type_check
def _superquadric(x, y, z, a, b, c, e1, e2):
    u, v, w = abs(x) / a, abs(y) / b, abs(z) / c
    if e1 == 1.0 and e2 == 1.0:
        f = sqrt(u * u + v * v + w * w + _TINY)
        gx, gy, gz = u / a / f, v / b / f, w / c / f
    else:
        u, v, w = u + _TINY, v + _TINY, w + _TINY
        pu, pv, pw = u ** (2 / e2), v ** (2 / e2), w ** (2 / e1)
        belt = pu + pv
        girdle = belt ** (e2 / e1)
        total = girdle + pw
        f = total ** (e1 / 2)
        outer = f / total
        inner = outer * girdle / belt
        gx, gy, gz = inner * pu / u / a, inner * pv / v / b, outer * pw / w / c
    return (f - 1) / sqrt(gx * gx + gy * gy + gz * gz + _TINY)


@njit(cache=True, error_model="numpy")
@no_type_check
def _ring(x, y, z, radius, tube, half):
    x = abs(x)
    sine, cosine = sin(half), cos(half)
    flat = x * sine + y * cosine if cosine * x > sine * y else sqrt(x * x + y * y)
    return sqrt(max(0.0, x * x + y * y + z * z + radius * radius - 2 * radius * flat)) - tube
