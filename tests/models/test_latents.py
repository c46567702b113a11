from __future__ import annotations

import pytest
import torch

from hyperspy_rvae.models.latents import LatentSpace


@pytest.mark.parametrize(
    ("rotation", "translation", "names"),
    [
        (True, True, ("angle", "shift_x", "shift_y", "z1", "z2")),
        (True, False, ("angle", "z1", "z2")),
        (False, True, ("shift_x", "shift_y", "z1", "z2")),
        (False, False, ("z1", "z2")),
    ],
)
def test_columns(rotation, translation, names):
    space = LatentSpace(2, rotation, translation)
    assert space.names == names
    values = torch.arange(3.0 * len(names)).reshape(3, -1) + 1
    latents = space.split(values)
    assert latents.angle.shape == (3,) and latents.shift.shape == (3, 2)
    assert bool((latents.angle == 0).all()) is not rotation
    assert bool((latents.shift == 0).all()) is not translation
    torch.testing.assert_close(space.join(latents), values)
