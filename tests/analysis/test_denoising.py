import numpy as np
import pytest
from sklearn.decomposition import PCA, TruncatedSVD

from hyperspy_rvae.analysis.denoising import (
    PatchDenoiser,
    count_components,
    cross_validate,
    denoise_vectors,
)
from hyperspy_rvae.analysis.patches import overlapped_mean, patches
from hyperspy_rvae.analysis.pursuit import pursue_principal_components
from hyperspy_rvae.lattice.mesh import lattice_neighbours, square_offsets

SPACING = 13.0
OFFSETS = square_offsets(2)


def crystal(wall="sharp", noise=0.25, seed=0, cells=(22, 19)):
    """Known vectors on a lattice with a 180 degree wall, and the same with noise."""
    i, j = np.meshgrid(np.arange(cells[0]), np.arange(cells[1]))
    place = np.column_stack([i.ravel(), j.ravel()]) - [(cells[0] - 1) / 2, 0]
    side = np.sign(place[:, 0]) if wall == "sharp" else np.tanh(place[:, 0] / 1.5)
    true = np.column_stack([0.35 * np.cos(2 * np.pi * place[:, 1] / 9), side]) * 0.6
    noisy = true + np.random.default_rng(seed).normal(0, noise * 0.6, true.shape)
    neighbours = lattice_neighbours(place * SPACING, np.eye(2) * SPACING, OFFSETS)
    return place, true, noisy, neighbours


def denoise(noisy, neighbours, method, seed=0):
    if isinstance(method, str) and method in ("gaussian", "median"):
        return denoise_vectors(noisy, neighbours, OFFSETS, method)
    model = PatchDenoiser(method, seed=seed).fit(patches(noisy, neighbours, OFFSETS))
    return denoise_vectors(noisy, neighbours, OFFSETS, model)


def ratio(found, noisy, true):
    return np.sqrt(((found - true) ** 2).mean() / ((noisy - true) ** 2).mean())


@pytest.mark.parametrize("wall", ["sharp", "smooth"])
@pytest.mark.parametrize(
    "method", ["pca", "incremental", "kernel", "sparse", "robust", "ica", "nmf", PCA(7)]
)
def test_the_error_against_the_truth_falls_by_half(method, wall):
    for seed in (0, 1):
        _, true, noisy, neighbours = crystal(wall, seed=seed)
        found = denoise(noisy, neighbours, method)
        assert ratio(found, noisy, true) < 0.5


@pytest.mark.parametrize("method", ["pca", "kernel", "sparse", "robust", "ica", "nmf"])
@pytest.mark.parametrize("noise", [0.15, 0.25])
def test_a_sharp_wall_is_smeared_by_no_more_than_one_cell(method, noise):
    place, _, noisy, neighbours = crystal("sharp", noise)
    found = denoise(noisy, neighbours, method)
    profile = np.array(
        [(found[place[:, 0] == x] @ [0, 1]).mean() / 0.6 for x in (-1.5, -0.5, 0.5, 1.5)]
    )
    # one cell away from the wall the step is whole, and beside it more than 80 % of it is there
    np.testing.assert_allclose(profile[[0, 3]], [-1, 1], atol=0.12)
    assert profile[2] - profile[1] > 1.6


def test_smoothing_smears_what_components_keep():
    place, true, noisy, neighbours = crystal("sharp")
    beside = np.abs(place[:, 0]) < 1
    error = {
        method: np.abs(denoise(noisy, neighbours, method) - true)[beside, 1]
        for method in ("pca", "gaussian", "median")
    }
    assert error["pca"].mean() < 0.3 * error["gaussian"].mean()
    assert error["pca"].mean() < error["median"].mean()


def test_robust_components_withstand_wrong_atoms():
    _, true, noisy, neighbours = crystal()
    rng = np.random.default_rng(3)
    wrong = rng.choice(len(noisy), 10, replace=False)
    noisy[wrong] += rng.normal(0, 2, (10, 2))
    plain, robust = (
        ratio(denoise(noisy, neighbours, method), noisy, true) for method in ("pca", "robust")
    )
    assert robust < 0.25 and robust < 0.7 * plain


def test_components_by_hand_by_variance_and_by_cross_validation():
    _, _, noisy, neighbours = crystal()
    samples = patches(noisy, neighbours, OFFSETS)
    flat = samples.reshape(len(samples), -1)
    assert count_components(samples, 4) == 4
    share = PCA().fit(flat).explained_variance_ratio_.cumsum()
    assert count_components(samples, 0.8) == 1 + np.searchsorted(share, 0.8)
    # a step of one direction has five places in a patch of five, and the rest is one wave
    assert 5 <= count_components(samples, None) <= 9
    nothing = np.random.default_rng(0).normal(size=noisy.shape)
    assert count_components(patches(nothing, neighbours, OFFSETS), None) == 0
    assert count_components(np.ones_like(samples), 0.8) == 0


def test_an_atom_is_not_used_to_predict_itself():
    _, _, noisy, neighbours = crystal()
    samples = patches(noisy, neighbours, OFFSETS)
    errors = cross_validate(samples)
    changed = samples.copy()
    changed[7, 0] += 1e-6
    moved = cross_validate(changed)[:6, 7] - errors[:6, 7]
    np.testing.assert_allclose(moved, -1e-6, rtol=0.2)


def test_patches_go_there_and_back():
    rng = np.random.default_rng(4)
    neighbours = crystal()[3]
    values = rng.normal(size=(len(neighbours), 3))
    samples = patches(values, neighbours, OFFSETS)
    np.testing.assert_allclose(samples[:, 0], values)
    np.testing.assert_allclose(overlapped_mean(samples, neighbours), values)


def test_a_missing_neighbour_is_replaced_by_the_nearest_place():
    neighbours = np.array([[0, 1, -1], [1, -1, 0]])
    offsets = np.array([[0, 0], [1, 0], [-1, 0]])
    values = np.array([[1.0], [2.0]])
    samples = patches(values, neighbours, offsets)[..., 0]
    np.testing.assert_array_equal(samples, [[1, 2, 1], [2, 2, 1]])


def test_pursuit_splits_rank_and_outliers():
    rng = np.random.default_rng(5)
    low = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 40))
    sparse = np.where(rng.random((60, 40)) < 0.05, rng.normal(0, 10, (60, 40)), 0)
    found, rest = pursue_principal_components(low + sparse)
    np.testing.assert_allclose(found, low, atol=1e-3)
    np.testing.assert_allclose(rest, sparse, atol=1e-3)
    assert not pursue_principal_components(np.zeros((4, 3)))[0].any()


def test_a_transformer_is_left_as_it_is():
    _, true, noisy, neighbours = crystal()
    model = TruncatedSVD(7)
    fitted = PatchDenoiser(model).fit(patches(noisy, neighbours, OFFSETS))
    assert fitted.count_ is None and not hasattr(model, "components_")
    assert ratio(denoise_vectors(noisy, neighbours, OFFSETS, fitted), noisy, true) < 0.5


def test_components_of_some_samples_denoise_the_rest():
    _, true, noisy, neighbours = crystal()
    samples = patches(noisy, neighbours, OFFSETS)
    some = PatchDenoiser(seed=0).fit(samples[::2])
    assert ratio(denoise_vectors(noisy, neighbours, OFFSETS, some), noisy, true) < 0.5
    nothing = np.random.default_rng(0).normal(size=noisy.shape) + [3.0, 0.0]
    none = PatchDenoiser().fit(patches(nothing, neighbours, OFFSETS))
    assert none.count_ == 0
    found = denoise_vectors(nothing, neighbours, OFFSETS, none)
    np.testing.assert_allclose(found, [[3, 0]] * len(found), atol=0.2)
