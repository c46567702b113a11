"""Images to try things on: real ones that dependencies ship, and synthetic ones of known answer."""

from hyperspy_rvae.data.crystals import crystal
from hyperspy_rvae.data.ferroelectric import ferroelectric
from hyperspy_rvae.data.graphene import graphene, graphene_boundary
from hyperspy_rvae.data.motifs import graphene_motifs
from hyperspy_rvae.data.movies import drifting_crystal
from hyperspy_rvae.data.real import mos2, perovskite
from hyperspy_rvae.data.synthetic import polar_perovskite

__all__ = [
    "crystal",
    "drifting_crystal",
    "ferroelectric",
    "graphene",
    "graphene_boundary",
    "graphene_motifs",
    "mos2",
    "perovskite",
    "polar_perovskite",
]
