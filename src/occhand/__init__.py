"""3D hand meshes from one RGB image, even where an object hides half of the hand."""

__version__ = "0.1.0.dev0"
