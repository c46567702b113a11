import numpy as np

from hyperspy_rvae.lattice.refinement.center_of_mass import centers_of_mass


def test_centres_are_atomaps():
    from atomap.api import Sublattice

    rng = np.random.default_rng(1)
    image = rng.poisson(30, (90, 110)).astype(float)
    seeds = np.stack(np.meshgrid(np.arange(4), np.arange(3)), -1).reshape(-1, 2) * 22.0 + 21
    seeds += rng.uniform(-2, 2, seeds.shape)
    for radius in (3.0, 5.5):
        theirs = Sublattice(seeds, image)
        theirs.refine_atom_positions_using_center_of_mass(
            mask_radius=radius, show_progressbar=False
        )
        ours = centers_of_mass(image, seeds, np.full(len(seeds), radius))
        np.testing.assert_allclose(ours, theirs.atom_positions, rtol=1e-12)


def test_masks_are_cut_off_at_the_border():
    image = np.ones((20, 30))
    centres = centers_of_mass(image, np.array([[0.0, 10.0], [15.0, 9.0]]), np.array([4.0, 4.0]))
    assert 1 < centres[0, 0] < 3 and centres[0, 1] == 10
    np.testing.assert_allclose(centres[1], [15, 9])


def test_empty_masks_have_no_centre():
    image = np.zeros((20, 30))
    assert np.isnan(centers_of_mass(image, np.array([[5.0, 6.0]]), np.array([3.0]))).all()
