"""Synthetic hands: poses, things to hold, grasps, and rendered scenes on top of them."""
