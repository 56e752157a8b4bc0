"""Joint orders against the permutations that published code carries, written out as they stand there."""

from occhand.hand.skeleton import (
    BONES,
    FPHA_JOINT_NAMES,
    HO3D_FROM_HOUSE,
    HOUSE_FROM_FPHA,
    HOUSE_FROM_HO3D,
    JOINT_NAMES,
    TIP_JOINTS,
    tip_vertices,
)

MANOPTH_REORDER = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
"""manopth's ManoLayer: 16 joints and five tips, thumb first, to 21."""
FHB_REORDER = (0, 1, 6, 7, 8, 2, 9, 10, 11, 3, 12, 13, 14, 4, 15, 16, 17, 5, 18, 19, 20)
"""handobjectconsist's FHBHands: FPHA's skeleton.txt to the same 21."""


def test_orders_are_those_of_published_code():
    assert HOUSE_FROM_HO3D == MANOPTH_REORDER
    assert HOUSE_FROM_FPHA == FHB_REORDER


def test_permutations_undo_each_other():
    assert [HOUSE_FROM_HO3D[k] for k in HO3D_FROM_HOUSE] == list(range(21))
    assert sorted(HOUSE_FROM_FPHA) == list(range(21))
    assert FPHA_JOINT_NAMES[1:6] == ("thumb1", "index1", "middle1", "ring1", "pinky1")


def test_bones_run_from_the_wrist_to_the_tips():
    assert sorted(child for _, child in BONES) == list(range(1, 21))
    assert all(JOINT_NAMES[parent] == "wrist" or JOINT_NAMES[parent][:-1] == JOINT_NAMES[child][:-1] for parent, child in BONES)
    assert {child for _, child in BONES} - {parent for parent, _ in BONES} == set(TIP_JOINTS)


def test_a_left_hand_has_its_middle_tip_elsewhere_in_manopths_list_only():
    assert tip_vertices("manopth", "left") == (745, 317, 445, 556, 673)
    for tip_set in ("freihand", "ho3d", "smplx"):
        assert tip_vertices(tip_set, "left") == tip_vertices(tip_set, "right")
