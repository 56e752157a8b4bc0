"""Training data: transforms of samples."""
