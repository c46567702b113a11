"""The door: four signal types with a lazy twin each, and the way in from atomap."""

from hyperspy_rvae.signals.atomap import from_atomap
from hyperspy_rvae.signals.displacements import AtomDisplacements, LazyAtomDisplacements
from hyperspy_rvae.signals.image import AtomLatticeImage, LazyAtomLatticeImage
from hyperspy_rvae.signals.latents import AtomLatents, LazyAtomLatents
from hyperspy_rvae.signals.subimages import AtomSubimages, LazyAtomSubimages

__all__ = [
    "AtomDisplacements",
    "AtomLatents",
    "AtomLatticeImage",
    "AtomSubimages",
    "LazyAtomDisplacements",
    "LazyAtomLatents",
    "LazyAtomLatticeImage",
    "LazyAtomSubimages",
    "from_atomap",
]
