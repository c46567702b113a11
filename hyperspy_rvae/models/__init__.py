"""How subimages vary: invariant variational autoencoders with scikit-learn's manners.

Arrays in, arrays out. This room alone knows of torch, and it knows of no other room.
"""

from __future__ import annotations

from hyperspy_rvae.models.rvae import RVAE

__all__ = ["RVAE"]
