import os
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"
# Torch's idle threads wait instead of spinning; on a busy machine that is up to ten times faster.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
import pytest

FRAMES, HEIGHT, WIDTH = 3, 40, 60


@pytest.fixture(autouse=True)
def quiet():
    hs.preferences.General.show_progressbar = False
    yield
    plt.close("all")


@pytest.fixture(params=["eager", "lazy"])
def lazy(request):
    return request.param == "lazy"


@pytest.fixture
def movie(lazy):
    """Three calibrated frames with two atoms each; atom 2 k is at (20.25 + k, 15.5 + k)."""
    pixels = np.random.default_rng(5).random((FRAMES, HEIGHT, WIDTH))
    s = hs.signals.Signal2D(pixels)
    s.set_signal_type("atom_lattice")
    s.axes_manager.signal_axes.set(scale=(0.1, 0.2), units="nm")
    s.axes_manager.signal_axes[0].offset = 3.0
    s.set_atoms({f: np.array([[20.25, 15.5], [31.0, 22.75]]) + f for f in range(FRAMES)})
    return s.as_lazy() if lazy else s


@pytest.fixture(scope="session")
def real_data():
    """Folder of experimental images that cannot be shipped."""
    folder = os.environ.get("HYPERSPY_RVAE_DATA")
    if not folder:
        pytest.skip("experimental images of unclear licence: HYPERSPY_RVAE_DATA names no folder")
    return Path(folder)
