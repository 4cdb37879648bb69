"""Geometry of faces: landmarks, tracks, alignment, region masks, the mesh. Plain functions on arrays."""
