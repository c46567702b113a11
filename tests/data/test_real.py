import numpy as np

from hyperspy_rvae import data


def test_the_shipped_images_are_calibrated_atom_lattices():
    mos2, lazily, perovskite = data.mos2(), data.mos2(lazy=True), data.perovskite()
    assert mos2.data.shape == (1024, 1024)
    assert perovskite.data.shape == (400, 380)
    assert lazily._lazy and (np.asarray(lazily.data) == mos2.data).all()
    for image, pixel in ((mos2, 0.0127), (perovskite, 0.0093)):
        assert type(image).__name__ == "AtomLatticeImage"
        for axis in image.axes_manager.signal_axes:
            assert axis.units == "nm"
            np.testing.assert_allclose(axis.scale, pixel, rtol=0.01)
