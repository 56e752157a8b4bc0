"""How many samples each split has when it is whole: pictures that its list names, and those that show an annotated hand."""

from __future__ import annotations

from typing import NamedTuple


class Count(NamedTuple):
    """Of one split."""

    listed: int
    """Entries of the benchmark's list."""
    hands: int
    """Those with an annotated hand, which are the samples."""


HO3D_V2 = {"train": Count(66_034, 66_034), "evaluation": Count(11_524, 11_524)}
"""Lines of the released lists."""
HO3D_V3 = {"train": Count(83_325, 83_325), "evaluation": Count(20_137, 20_137)}
FREIHAND = {"train": Count(130_240, 130_240), "evaluation": Count(3_960, 3_960)}
"""32,560 hands in four colour versions each."""

_DEXYCB = {
    "s0_train": (465_504, 406_888, 203_096, 203_792),
    "s0_val": (23_200, 22_728, 11_296, 11_432),
    "s0_test": (93_264, 78_768, 39_608, 39_160),
    "s1_train": (407_088, 356_600, 177_656, 178_944),
    "s1_val": (58_592, 47_656, 23_848, 23_808),
    "s1_test": (116_288, 104_128, 52_496, 51_632),
    "s2_train": (436_476, 381_288, 190_500, 190_788),
    "s2_val": (72_746, 63_548, 31_750, 31_798),
    "s2_test": (72_746, 63_548, 31_750, 31_798),
    "s3_train": (436_416, 381_288, 189_712, 191_576),
    "s3_val": (58_192, 50_736, 25_864, 24_872),
    "s3_test": (87_360, 76_360, 38_424, 37_936),
}
"""Chao et al., CVPR 2021, Table 9: images, with a hand, right, left."""
DEXYCB = {
    f"{part}{side}": Count(listed, hands)
    for part, (listed, *by_side) in _DEXYCB.items()
    for side, hands in zip(("", "_right", "_left"), by_side, strict=True)
}
