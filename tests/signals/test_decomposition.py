from __future__ import annotations

import hyperspy.api as hs
import numpy as np
import pytest
from sklearn.decomposition import PCA

from hyperspy_rvae.data.motifs import graphene_motifs
from hyperspy_rvae.models import RVAE


@pytest.fixture(scope="module")
def subimages():
    windows, _ = graphene_motifs(60, 11, bond_px=3, shift_px=0.5, seed=0)
    s = hs.signals.Signal2D(windows)
    s.set_signal_type("atom_subimages")
    return s


def test_hyperspys_decomposition_takes_the_estimator(subimages):
    model = RVAE(2, epochs=2, seed=0)
    subimages.decomposition(algorithm=model, print_info=False)
    alone = RVAE(2, epochs=2, seed=0)
    values = alone.fit_transform(subimages.data)
    np.testing.assert_allclose(subimages.get_decomposition_loadings().data.T, values, atol=1e-5)
    factors = subimages.get_decomposition_factors()
    assert factors.data.shape == (5, 11, 11)
    np.testing.assert_allclose(factors.data.reshape(5, -1), alone.components_, atol=1e-5)


def test_as_it_takes_one_of_scikit_learns(subimages):
    s = subimages.deepcopy()
    s.decomposition(algorithm=PCA(3), print_info=False)
    assert s.get_decomposition_loadings().data.shape == (3, 60)
