"""The parametric hand: joint orders, hand files, the hand layer, the pose prior. Knows no network."""
