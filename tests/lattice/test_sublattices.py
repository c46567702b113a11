import numpy as np
import pytest

from hyperspy_rvae.data import crystal
from hyperspy_rvae.lattice.sublattices import column_features, find_places, sort_columns

NAMES = {"MoS2": ("Mo", "S"), "perovskite": ("Sr", "Ti"), "CdTe": ("Te", "Cd")}
SIZE = (420, 330)


def seen(material, seed=0, **options):
    """Columns as they might be found, their looks, and 0 or 1 for their sublattice."""
    image, truth = crystal(material, SIZE, seed=seed, **options)
    positions = truth[["x", "y"]] + np.random.default_rng(seed + 9).normal(0, 0.4, (len(truth), 2))
    positions = positions.to_numpy()
    true = (truth["sublattice"] == NAMES[material][1]).to_numpy().astype(int)
    return positions, column_features(image.data, positions), true


@pytest.mark.parametrize("material", NAMES)
@pytest.mark.parametrize(
    "options",
    [
        {"noise": 0.1},
        {"noise": 0.2, "vacancies": 0.02},
        {"noise": 0.1, "misfit": 0.35, "vacancies": 0.02},
    ],
    ids=["plain", "noisy", "two grains"],
)
def test_columns_are_sorted(material, options):
    right = total = 0
    for seed in (1, 2):
        positions, features, true = seen(material, seed, **options)
        right += (sort_columns(positions, features) == true).sum()
        total += len(true)
    assert right >= 0.995 * total


def test_a_dopant_stays_with_its_place():
    positions, features, true = seen("MoS2")
    inside = np.flatnonzero((np.abs(positions - np.array(SIZE) / 2) < 80).all(axis=1))
    odd = inside[true[inside] == 1][::10]
    features[odd, 0] = features[true == 0, 0].max()
    assert (sort_columns(positions, features)[odd] == 1).all()


def test_like_columns_are_one_sublattice():
    """Graphene: two places in the cell, one kind of column."""
    positions, features, _ = seen("MoS2")
    features = np.random.default_rng(0).normal(1, 0.1, features.shape)
    places = find_places(positions, features)
    assert len(places.size) == 2 and (places.size > 300).all()
    assert (sort_columns(positions, features) == 0).all()
    assert np.bincount(sort_columns(positions, features, 2)).min() > 300


def test_places_of_a_larger_order():
    """Every other row of one square lattice is fainter, and wider."""
    rng = np.random.default_rng(3)
    cells = np.stack(np.mgrid[:20, :24], -1).reshape(-1, 2)
    cells = rng.permutation(cells)
    row = cells[:, 1] % 2
    positions = cells * [14.0, 13.0] + rng.normal(0, 0.3, cells.shape)
    for offset in ([0.3, 0.0], [0.0, -0.3]):
        features = rng.normal(1, 0.1, cells.shape) - row[:, None] * offset
        found = sort_columns(positions, features)
        assert max((found == row).mean(), (found != row).mean()) == 1.0


def test_more_names_than_places():
    positions, features, _ = seen("CdTe")
    with pytest.raises(ValueError, match=r"5 sublattices are asked for, .* only 2 places"):
        sort_columns(positions, features, 5)


def test_amorphous_atoms_have_no_sublattices():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="no lattice"):
        sort_columns(rng.uniform(0, 400, (500, 2)), rng.random((500, 2)))
