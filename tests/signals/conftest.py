import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.data import graphene


@pytest.fixture
def lattice_image():
    """Build an image, whose pixels don't matter, with atoms at given places.

    Takes sublattices by name, positions ``(n, 2)`` in pixels each, or a list of such dicts, one a
    frame; further columns, such as ``x_std``, for all atoms; and the size of a pixel in nm.
    """

    def build(*frames, pixel=(0.02, 0.02), units="nm", lazy=False, offset=(0.0, 0.0), **columns):
        table = pd.concat(
            [
                pd.DataFrame(xy, columns=["x", "y"]).assign(sublattice=name, frame=number)
                for number, frame in enumerate(frames)
                for name, xy in frame.items()
            ]
        ).assign(**columns)
        width, height = (table[["x", "y"]].max().to_numpy() + 20).astype(int)
        shape = (len(frames), height, width) if len(frames) > 1 else (height, width)
        image = hs.signals.Signal2D(np.zeros(shape, dtype=np.float32))
        for axis, name, scale, start in zip(
            image.axes_manager.signal_axes, "xy", pixel, offset, strict=True
        ):
            axis.name, axis.scale, axis.units, axis.offset = name, scale, units, start
        image.set_signal_type("atom_lattice")
        image.set_atoms(table)
        return image.as_lazy() if lazy else image

    return build


@pytest.fixture
def polar(lattice_image):
    """Build cells of A with B displaced across a sharp wall at the middle, and the known vectors.

    Vectors are (0.35, -0.6) px left of the wall and the opposite on the right, plus noise.
    """

    def build(cells=(16, 12), noise=0.0, spacing=16.0, seed=0, **options):
        across, down = cells
        corners = np.stack(np.meshgrid(np.arange(across + 1), np.arange(down + 1)), -1)
        centres = np.stack(np.meshgrid(np.arange(across), np.arange(down)), -1).reshape(-1, 2) + 0.5
        side = np.where(centres[:, :1] < across / 2, 1.0, -1.0)
        known = side * [0.35, -0.6]
        rng = np.random.default_rng(seed)
        atoms = centres * spacing + 20 + known + rng.normal(0, noise, known.shape)
        image = lattice_image({"A": corners.reshape(-1, 2) * spacing + 20, "B": atoms}, **options)
        return image, known, side[:, 0]

    return build


@pytest.fixture(scope="package")
def sheet():
    """Graphene with its true atoms, and their table."""
    s, truth = graphene(noise=0.05, seed=1)
    s.set_atoms(truth[["x", "y"]])
    return s, truth


@pytest.fixture(scope="package")
def scattered():
    """500 random places, 12 px apart at least, as atoms of an amorphous film are."""
    rng = np.random.default_rng(0)
    places = rng.uniform(5, 400, (1, 2))
    while len(places) < 500:
        new = rng.uniform(5, 400, 2)
        if (np.hypot(*(places - new).T) > 12).all():
            places = np.vstack([places, new])
    return places
