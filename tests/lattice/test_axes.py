import dataclasses

import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.lattice.axes import Axis, move_table, pack_axes, unit_factor, unpack_axes

X = Axis("x", "nm", 0.1, 3.0, 60, 60)


def changed(**fields):
    return dataclasses.replace(X, **fields)


def place(axis, index):
    return (index - axis.origin) / axis.step


@pytest.mark.parametrize(
    ("now", "index", "expected"),
    [
        (changed(scale=0.3), 21.25, 21.25),
        (changed(offset=-7.0), 21.25, 21.25),
        (changed(units="pm", scale=100.0, offset=3000.0), 21.25, 21.25),
        (changed(offset=3.4, size=46), 21.25, 17.25),
        (changed(units="pm", scale=100.0, offset=3400.0, size=46), 21.25, 17.25),
        (changed(scale=0.2, offset=3.05, size=30), 21.25, 10.375),
        (changed(scale=0.05, offset=2.975, size=120), 21.25, 43.0),
        (changed(scale=0.2, offset=3.45, size=20), 21.25, (21.25 - 4.5) / 2),
        (changed(scale=-0.1, offset=8.9), 21.25, 59 - 21.25),
    ],
)
def test_indices_follow_what_happened(now, index, expected):
    assert place(X.follow(now), index) == pytest.approx(expected)


@pytest.mark.parametrize(
    "now",
    [
        changed(scale=0.33, offset=3.4, size=46),
        changed(scale=0.1, offset=3.42, size=46),
        changed(scale=0.1, offset=3.4, size=70),
        changed(scale=0.097, offset=3.4, size=46),
        changed(units="eV", size=46),
        changed(units="", size=46),
    ],
)
def test_what_cannot_be_told_apart_raises(now):
    with pytest.raises(ValueError, match=r"cannot be (told apart|converted)"):
        X.follow(now)


def test_slices_and_picks_compose():
    once = X.sliced(changed(offset=3.4, size=46))
    twice = once.sliced(dataclasses.replace(once, offset=3.6, scale=0.2, size=20))
    assert place(twice, 21.25) == pytest.approx((21.25 - 6) / 2)
    assert X.pick(-1).origin == 59


def test_axes_survive_as_plain_lists():
    axes = [X.pick(4), changed(name="y")]
    record = pack_axes(axes)
    record["size"] = [np.int64(size) for size in record["size"]]
    assert unpack_axes(record) == axes
    damage = [{"name": ["x"]}, np.zeros(3), {**record, "scale": [0.0, 1.0]}]
    damage += [{**record, "step": [np.nan, 1.0]}, {**record, "size": [np.inf, 3]}]
    for damaged in damage:
        with pytest.raises(ValueError, match="cannot be read"):
            unpack_axes(damaged)


def test_units_are_converted():
    assert unit_factor("nm", "pm") == pytest.approx(1000)
    assert unit_factor("Å", "nm") == unit_factor("A", "nm") == pytest.approx(0.1)
    assert unit_factor("", "") == 1
    for units in ("", "n_m", "1/nm", "px"):
        with pytest.raises(ValueError, match="cannot be converted to 'pm'"):
            unit_factor(units, "pm")


def test_ellipses_follow_a_rebin_in_one_direction():
    table = pd.DataFrame(
        {
            "frame": 0,
            "x": [20.0],
            "y": [10.0],
            "sublattice": "A",
            "sigma_x": [4.0],
            "sigma_y": [2.0],
            "rotation": [0.0],
        }
    )
    y = Axis("y", "", 1.0, 0.0, 40, 40)
    x = Axis("x", "", 4.0, 1.5, 15, 60, origin=1.5, step=4.0)
    moved = move_table(table, [y, x]).iloc[0]
    assert sorted([moved["sigma_x"], moved["sigma_y"]]) == pytest.approx([1.0, 2.0])
    long = (
        moved["rotation"] if moved["sigma_x"] > moved["sigma_y"] else moved["rotation"] + np.pi / 2
    )
    assert abs(np.sin(long)) == pytest.approx(1.0)


def test_a_turned_ellipse_keeps_its_covariance():
    angle, wide, narrow = 0.5, 3.0, 1.5
    table = pd.DataFrame(
        {
            "frame": 0,
            "x": [20.0],
            "y": [10.0],
            "sublattice": "A",
            "sigma_x": [wide],
            "sigma_y": [narrow],
            "rotation": [angle],
        }
    )
    y = Axis("y", "", 1.0, 0.0, 40, 40)
    x = Axis("x", "", -1.0, 59.0, 60, 60, origin=59.0, step=-1.0)
    moved = move_table(table, [y, x]).iloc[0]
    assert (moved["x"], moved["y"]) == (39.0, 10.0)
    assert (moved["sigma_x"], moved["sigma_y"]) == pytest.approx((wide, narrow))
    assert moved["rotation"] == pytest.approx(np.pi - angle)


def test_the_volume_of_a_column_survives_sums_and_loses_what_was_skipped():
    """Sums of pixels keep a Gaussian's volume; every other pixel of two axes has a quarter."""
    table = pd.DataFrame({"frame": [0], "x": [20.0], "y": [10.0], "amplitude": [8.0]})
    y = Axis("y", "", 1.0, 0.0, 40, 40)
    x = Axis("x", "", 1.0, 0.0, 60, 60)
    summed = [
        axis.follow(dataclasses.replace(axis, scale=2, offset=0.5, size=axis.size // 2))
        for axis in (y, x)
    ]
    skipped = [
        axis.sliced(dataclasses.replace(axis, scale=-2, offset=axis.size - 1, size=axis.size // 2))
        for axis in (y, x)
    ]
    assert move_table(table, summed)["amplitude"].item() == 8.0
    assert move_table(table, skipped)["amplitude"].item() == 2.0
    again = [axis.sliced(dataclasses.replace(axis, size=10)) for axis in skipped]
    assert (again[0].stride, again[0].step) == (2.0, -2.0)


def test_frames_beyond_the_movie_are_refused():
    table = pd.DataFrame({"frame": [4], "x": [20.0], "y": [10.0]})
    axes = [Axis("", "", 1.0, 0.0, n, n) for n in (3, 40, 60)]
    with pytest.raises(ValueError, match="atoms in frame 4 and was made on an image of 3 frames"):
        move_table(table, axes)
