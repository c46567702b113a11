"""The door: five signal types with a lazy twin each, what they return, the way in from atomap."""

from hyperspy_rvae.signals.atomap import from_atomap
from hyperspy_rvae.signals.displacements import AtomDisplacements, LazyAtomDisplacements
from hyperspy_rvae.signals.image import AtomLatticeImage, LazyAtomLatticeImage
from hyperspy_rvae.signals.latents import AtomLatents, LazyAtomLatents
from hyperspy_rvae.signals.neighbours import Neighbours
from hyperspy_rvae.signals.properties import AtomProperties, LazyAtomProperties
from hyperspy_rvae.signals.rings import Rings
from hyperspy_rvae.signals.subimages import AtomSubimages, LazyAtomSubimages

__all__ = [
    "AtomDisplacements",
    "AtomLatents",
    "AtomLatticeImage",
    "AtomProperties",
    "AtomSubimages",
    "LazyAtomDisplacements",
    "LazyAtomLatents",
    "LazyAtomLatticeImage",
    "LazyAtomProperties",
    "LazyAtomSubimages",
    "Neighbours",
    "Rings",
    "from_atomap",
]
