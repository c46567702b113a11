import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.finding import bright_atoms, find_positions
from hyperspy_rvae.lattice.scale import measure_scale

HEIGHT, WIDTH, REPEAT = 150, 190, 14.0


def columns(rotation=0.0, at=(0.0, 0.0), repeat=REPEAT):
    """Sites of a square lattice over the whole image and a little beyond."""
    turn = np.deg2rad(rotation)
    a = repeat * np.array([np.cos(turn), np.sin(turn)])
    b = np.array([-a[1], a[0]])
    i, j = np.mgrid[-30:30, -30:30]
    sites = (i[..., None] + at[0]) * a + (j[..., None] + at[1]) * b + [95.3, 75.6]
    sites = sites.reshape(-1, 2)
    return sites[((sites > -15) & (sites < [WIDTH + 15, HEIGHT + 15])).all(axis=1)]


def draw(sites, amplitude=1.0, sigma=2.3):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    across = np.exp(-((x[0] - sites[:, :1]) ** 2) / (2 * sigma**2))
    down = np.exp(-((y[:, :1] - sites[:, 1]) ** 2) / (2 * sigma**2))
    return amplitude * down @ across


def noisy(image, counts=60.0, seed=3):
    return np.random.default_rng(seed).poisson((image + 0.2) * counts).astype(float)


def assert_found(positions, sites, border):
    """Each site inside the border is found once, to within 2 px, and nothing else is."""
    assert positions.dtype == np.float64
    distance, site = KDTree(sites).query(positions)
    assert distance.max() < 2
    assert len(np.unique(site)) == len(site)
    inside = ((sites > border) & (sites < np.array([WIDTH, HEIGHT]) - 1 - border)).all(axis=1)
    assert set(np.flatnonzero(inside)) <= set(site)


@pytest.mark.parametrize("rotation", [0, 13, 45])
def test_single_lattice(rotation):
    sites = columns(rotation)
    assert_found(find_positions(noisy(draw(sites))), sites, border=0.6 * REPEAT)


@pytest.mark.parametrize("rotation", [0, 20, 45])
@pytest.mark.parametrize("amplitude", [0.35, 0.6])
def test_fainter_sublattice_is_left_out(rotation, amplitude):
    bright, faint = columns(rotation), columns(rotation, at=(0.5, 0.5))
    image = noisy(draw(bright) + draw(faint, amplitude), counts=300)
    assert_found(find_positions(image), bright, border=0.7 * REPEAT)


def test_smaller_separation_takes_the_fainter_one_in():
    sites = np.concatenate([columns(), columns(at=(0.5, 0.5))])
    image = noisy(draw(columns()) + draw(columns(at=(0.5, 0.5)), 0.5), counts=1000)
    assert_found(find_positions(image, 4), sites, border=6)


def test_like_sublattices_are_both_found():
    sites = np.concatenate([columns(8), columns(8, at=(0.5, 0.5))])
    assert_found(find_positions(noisy(draw(sites, sigma=2.0))), sites, border=6)


@pytest.mark.parametrize("highest", [0.75, 0.5, 0.35])
@pytest.mark.parametrize("contrast", ["bright", "dark"])
def test_saturated_columns_are_found_once(highest, contrast):
    sites = columns(9)
    image = np.minimum(noisy(draw(sites), counts=400), (highest + 0.2) * 400)
    image = image if contrast == "bright" else -image
    assert_found(find_positions(image, contrast=contrast), sites, border=0.6 * REPEAT)


def test_dumbbells_are_resolved():
    sites = np.concatenate([columns(5, repeat=30), columns(5, at=(0.3, 0.0), repeat=30)])
    assert_found(find_positions(noisy(draw(sites, sigma=2.5), counts=200)), sites, border=6)


def test_background_and_vacuum_are_left_alone():
    sites = columns(3)
    sites = sites[sites[:, 0] < 120]
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = noisy(draw(sites) + 2 * (1 + np.cos(x / 60) * np.sin(y / 50)), counts=200)
    assert_found(find_positions(image), sites, border=0.6 * REPEAT)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32"]
)
def test_dtypes(dtype):
    sites = columns(3)
    image = draw(sites) * 100
    if dtype in ("int8", "int16", "int32", "float16"):
        image = image - 50
    assert_found(find_positions(image.astype(dtype)), sites, border=0.6 * REPEAT)


def test_dark_columns():
    sites = columns(3)
    image = noisy(1.2 - draw(sites), counts=100)
    assert_found(find_positions(image, contrast="dark"), sites, border=0.6 * REPEAT)


def test_bright_atoms_keeps_contrast_and_leaves_the_image():
    image = np.array([[-3, 5, 0]], dtype=np.int8)
    np.testing.assert_array_equal(bright_atoms(image), [[0, 8, 3]])
    np.testing.assert_array_equal(bright_atoms(image, "dark"), [[8, 0, 5]])
    np.testing.assert_array_equal(image, [[-3, 5, 0]])


@pytest.mark.parametrize("repeat", [9.0, 14.0, 25.0])
def test_estimate_follows_the_repeat(repeat):
    image = noisy(draw(columns(7, repeat=repeat), sigma=0.18 * repeat))
    assert 0.33 * repeat < measure_scale(image).separation < 0.45 * repeat


def test_atomap_finds_the_same():
    from types import SimpleNamespace

    from atomap.api import get_atom_positions

    image = draw(columns(6))
    theirs = get_atom_positions(SimpleNamespace(data=image), separation=7)
    ours = find_positions(image, 7)
    distance, index = KDTree(ours).query(theirs)
    assert distance.max() < 0.8  # theirs are whole pixels
    further = np.delete(ours, index, axis=0)
    to_border = np.minimum(further, [WIDTH - 1, HEIGHT - 1] - further).min(axis=1)
    assert (to_border < 7.5).all()
    np.testing.assert_array_equal(find_positions(image, 7, method="atomap"), theirs)


@pytest.mark.parametrize("repeat", [14.0, 20.0, 26.0])
@pytest.mark.parametrize("counts", [2, 5, 20])
def test_few_counts_beside_a_vacuum(counts, repeat):
    """Poisson noise; no column twice or torn, and none where there is nothing."""
    sites = columns(7, repeat=repeat)
    sites = sites[np.hypot(*(sites - [70, 75]).T) < 60]
    image = counts * (draw(sites, sigma=0.18 * repeat) + 0.1)
    found = find_positions(np.random.default_rng(counts).poisson(image))
    distance, site = KDTree(sites).query(found)
    assert distance.max() < 0.3 * repeat
    assert len(np.unique(site)) == len(site)
    inside = ((sites > 5) & (sites < [WIDTH - 6, HEIGHT - 6])).all(axis=1)
    assert set(np.flatnonzero(inside)) <= set(site)


def test_columns_beside_the_border_are_found():
    sites = columns() + [0.3, 0.4]
    sites = sites[((sites > 4) & (sites < [WIDTH - 5, HEIGHT - 5])).all(axis=1)]
    faint = columns(at=(0.5, 0.5)) + [0.3, 0.4]
    assert_found(find_positions(noisy(draw(sites) + draw(faint, 0.4), 300)), sites, border=4)


def test_kind_is_told_by_the_lattice_and_not_by_brightness_alone():
    """Two layers, as of a superlattice; in the right one A is as faint as B, or fainter."""
    a, b = columns(), columns(at=(0.5, 0.5))
    bright = np.where(a[:, 0] < 110, 1.0, 0.4)
    image = 0.35 * draw(b)
    for height in (1.0, 0.4):
        image += draw(a[bright == height], height)
    assert_found(find_positions(noisy(image, 1000)), a, border=0.5 * REPEAT)


@pytest.mark.parametrize("separation", [0, -3, 0.5, np.nan, 75, 400])
def test_separation_that_does_not_fit(separation):
    with pytest.raises(ValueError, match=r"at least 1 px and less than half .* 75 px, got"):
        find_positions(draw(columns()), separation)


def test_nothing_to_find():
    flat = np.full((HEIGHT, WIDTH), 7.0)
    with pytest.raises(ValueError, match="no bright columns found at a separation of 5 px"):
        find_positions(flat, 5)
    with pytest.raises(ValueError, match="fewer than 2 columns"):
        find_positions(flat)


def test_unknown_contrast():
    with pytest.raises(ValueError, match='contrast must be "bright" or "dark"'):
        find_positions(draw(columns()), contrast="grey")


def load(path, **options):
    import hyperspy.api as hs

    return hs.load(path, **options).data


@pytest.mark.parametrize("separation", [None, 6, 7, 8, 9])
def test_barium_titanate(real_data, separation):
    image = load(real_data / "BaTiO3_1.dm4")
    found = find_positions(image, separation)
    whole = ((found > 8) & (found < np.array(image.shape[::-1]) - 9)).all(axis=1)
    assert whole.sum() == pytest.approx(1054, abs=2)
    if separation is None:
        assert len(found) == pytest.approx(1144, abs=6)


# The movie was saved by an old HyperSpy.
@pytest.mark.filterwarnings("ignore:Loading old file:hyperspy.exceptions.VisibleDeprecationWarning")
# Counted on overlays: strontium alone, lead and strontium alone, both columns of the dumbbells,
# the heavy dark columns; those cut by the border included where their centre can be seen.
@pytest.mark.parametrize(
    ("name", "contrast", "count", "tolerance"),
    [
        ("SrTiO3.ser", "bright", 632, 3),
        ("PbTiO3_SrRuO3.hspy", "bright", 488, 3),
        ("CdTe_tilt.dm3", "bright", 910, 25),
        ("perovskite_ABF_movie.hspy", "dark", 205, 4),
    ],
)
def test_real_images(real_data, name, contrast, count, tolerance):
    image = load(real_data / name)
    image = image if image.ndim == 2 else image[0]
    found = find_positions(image, contrast=contrast)
    assert len(found) == pytest.approx(count, abs=tolerance)


def test_molybdenum_of_the_image_in_temul():
    temul = pytest.importorskip("temul")
    folder = Path(temul.__file__).parent / "example_data" / "experimental"
    image = load(folder / "example_Se_implanted_MoS2.dm3")
    assert len(find_positions(image)) == pytest.approx(2140, abs=30)


@pytest.mark.parametrize(("name", "contrast"), [("ADF", "bright"), ("ABF", "dark")])
def test_images_in_atomap(name, contrast):
    import atomap

    folder = os.path.join(os.path.dirname(atomap.__file__), "tests", "datasets")
    image = load(os.path.join(folder, f"test_{name}_cropped.hdf5"), file_format="HSPY")
    assert image.dtype == np.float16
    assert len(find_positions(image, contrast=contrast)) == 117
