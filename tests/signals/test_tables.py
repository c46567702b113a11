"""Tables that come out are the user's own: changing one changes nothing else."""

import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.models import RVAE

SIZE = 7


@pytest.fixture(scope="module")
def model():
    return RVAE(1, epochs=1, seed=0).fit(np.random.default_rng(0).random((60, SIZE, SIZE)))


@pytest.fixture(params=["made", "hspy", "zspy"])
def image(request, lattice_image, tmp_path):
    """A movie of one sublattice, so that all signals are of its whole table."""
    corners = np.stack(np.meshgrid(np.arange(6), np.arange(5)), -1).reshape(-1, 2) * 9.0 + 12
    moved = np.random.default_rng(0).normal(corners, 0.05, (2, *corners.shape))
    s = lattice_image(*({"A": places} for places in moved), x_std=0.1, y_std=0.1)
    if request.param == "made":
        return s
    s.save(tmp_path / f"movie.{request.param}")
    return hs.load(tmp_path / f"movie.{request.param}")


SIGNALS = {
    "image": lambda s, _: s,
    "displacements": lambda s, _: s.displacement_map("A", "A", method="lattice"),
    "strain": lambda s, _: s.strain_map("A"),
    "subimages": lambda s, _: s.extract_subimages(SIZE),
    "latents": lambda s, model: s.extract_subimages(SIZE).encode(model),
}
TABLES = {
    "atoms": lambda signal: signal.atoms,
    "to_dataframe": lambda signal: signal.to_dataframe(),
    "neighbours": lambda signal: signal.neighbours(4).atoms,
    "rings": lambda signal: signal.rings().atoms,
}


@pytest.mark.parametrize(
    ("signal", "table"),
    [(name, "atoms") for name in SIGNALS]
    + [(name, "to_dataframe") for name in ("displacements", "strain", "latents")]
    + [("image", "neighbours"), ("image", "rings")],
)
def test_a_table_can_be_changed_and_nothing_else_is(image, model, signal, table):
    source, read = SIGNALS[signal](image, model), TABLES[table]
    stored, before, data = image.atoms, read(source).copy(), np.array(source.data)
    changed = read(source)
    assert len(changed) == len(stored)
    for name in changed.select_dtypes("number"):
        changed.loc[0, name] = -99
    assert (changed.select_dtypes("number").loc[0] == -99).all()
    pd.testing.assert_frame_equal(read(source), before)
    pd.testing.assert_frame_equal(image.atoms, stored)
    np.testing.assert_array_equal(source.data, data)
