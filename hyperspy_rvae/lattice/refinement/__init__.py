"""Refinement of atoms: all columns of a frame fitted together, or centres of mass."""
