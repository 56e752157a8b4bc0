"""Pure tensor functions: rotations, cameras, crops, alignment."""
