import warnings

import numpy as np
import pytest

from hyperspy_rvae.models import RVAE
from hyperspy_rvae.models.fitting import _doubt
from hyperspy_rvae.models.steerable.spectrum import Spectrum


@pytest.fixture
def spectrum():
    """Signal of variance 2 in noise of variance 0.5."""
    return Spectrum(noise=0.5, signal=2.0, band=1.0)


def test_much_that_is_left_of_the_signal_is_worth_a_warning(spectrum):
    with pytest.warns(UserWarning, match="40% of what .* try more than latent_dim=2"):
        _doubt(0.5 + 0.4 * 2.0, spectrum, 2)


@pytest.mark.parametrize("left", [-0.05, 0.0, 0.2])
def test_little_that_is_left_is_not(spectrum, left):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _doubt(0.5 + left * 2.0, spectrum, 2)


def test_signals_lost_in_noise_are_not_judged():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _doubt(2.0, Spectrum(noise=1.0, signal=0.02, band=1.0), 2)


def test_windows_too_small_for_their_shifts_are_worth_a_warning():
    windows = np.random.default_rng(0).normal(size=(20, 6, 9))
    with pytest.warns(UserWarning, match=r"windows of \(6, 9\) px .* at least 7 px"):
        RVAE(1, epochs=1, seed=0).fit(windows)
    RVAE(1, invariances=("rotation",), epochs=1, seed=0).fit(windows)
