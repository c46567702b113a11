"""Images to try things on: real ones that dependencies ship, and synthetic ones of known answer."""

from hyperspy_rvae.data.crystals import crystal
from hyperspy_rvae.data.motifs import graphene_motifs
from hyperspy_rvae.data.real import mos2, perovskite
from hyperspy_rvae.data.synthetic import polar_perovskite

__all__ = ["crystal", "graphene_motifs", "mos2", "perovskite", "polar_perovskite"]
