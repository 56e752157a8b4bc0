"""A page to play with hands, occluders and estimators; on this computer, and from this computer alone."""
