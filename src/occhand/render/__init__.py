"""Meshes as pictures: depth, face ids, shading, overlays. CPU only, no OpenGL."""
