"""Hands to 2D joints: translation, full fit, refinement."""

from occhand.fit.solver import HandFit, fit_hand, refine_hand
from occhand.fit.translation import solve_translation

__all__ = ["HandFit", "fit_hand", "refine_hand", "solve_translation"]
