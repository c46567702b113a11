import numpy as np
import pytest

from hyperspy_rvae.lattice.tilt import shell_tilts

SPACING = 20.0


def octahedra(tilt, turned=0.0, aspect=1.0):
    """Centres on a square lattice, the shared atoms between them turned by antiphase tilts."""
    steps = np.stack(np.meshgrid(np.arange(9), np.arange(8)), -1).reshape(-1, 2)
    parity = steps.sum(1) % 2
    sign = 1 - 2 * parity
    shell = []
    for (i, j), s in zip(steps, sign, strict=True):
        # counter-clockwise as displayed by `tilt` in even cells: right goes up, bottom goes right
        shift = np.tan(tilt) * SPACING / 2 * s
        shell.append([(i + 0.5) * SPACING, j * SPACING - shift])
        shell.append([i * SPACING + shift, (j + 0.5) * SPACING])
        if i == 0:
            shell.append([(i - 0.5) * SPACING, j * SPACING + shift])
        if j == 0:
            shell.append([i * SPACING - shift, (j - 0.5) * SPACING])
    cos, sin = np.cos(turned), np.sin(turned)
    turn = np.array([[cos, sin], [-sin, cos]]) * [[1.0, 1.0], [aspect, aspect]]
    return steps * SPACING @ turn.T, np.array(shell) @ turn.T, parity


@pytest.mark.parametrize("turned", [0.0, 0.3])
@pytest.mark.parametrize("tilt", [0.1, -0.03])
def test_an_antiphase_tilt_is_recovered(tilt, turned):
    centres, shell, parity = octahedra(tilt, turned)
    found = shell_tilts(centres, shell, 4, 0.75 * SPACING, parity)
    np.testing.assert_allclose(found * (1 - 2 * parity), tilt, atol=1e-3)


def test_a_pixel_that_is_not_square_changes_little():
    centres, shell, parity = octahedra(0.05, aspect=1.03)
    found = shell_tilts(centres, shell, 4, 0.75 * SPACING, parity)
    np.testing.assert_allclose(found * (1 - 2 * parity), 0.05, atol=2e-3)


def test_a_missing_atom_leaves_its_two_centres_without_tilt():
    centres, shell, parity = octahedra(0.05)
    found = shell_tilts(centres, np.delete(shell, 70, axis=0), 4, 0.75 * SPACING, parity)
    beside = np.argsort(np.hypot(*(centres - shell[70]).T))[:2]
    assert set(np.flatnonzero(np.isnan(found))) == set(beside)
    assert np.isnan(shell_tilts(centres, shell[:3], 4, 15.0, parity)).all()
