"""Synthetic hands: poses now, grasps and rendered scenes on top of them."""
