import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.lattice.table import (
    as_table,
    nearest_distance,
    replace_sublattice,
    rows_by_frame,
    select_sublattice,
)

SHAPE = (40, 60)


def frame_of(**columns):
    return pd.DataFrame({"x": [1.0, 2.5, 59.4], "y": [3.0, 4.0, 39.0]} | columns)


def test_rows_are_sorted_by_frame_and_ids_follow():
    table = as_table(frame_of(frame=[2, 0, 1], element=["Ba", "Ti", "O"]), 3, SHAPE)
    assert list(table.index) == [0, 1, 2]
    assert list(table["frame"]) == [0, 1, 2]
    assert list(table["x"]) == [2.5, 59.4, 1.0]
    assert list(table["element"]) == ["Ti", "O", "Ba"]
    assert list(table["sublattice"]) == ["A", "A", "A"]


@pytest.mark.parametrize("bring", [np.array, list, pd.DataFrame, lambda xy: {0: np.array(xy)}])
def test_whatever_is_brought_gives_the_same_table(bring):
    xy = [[1.0, 3.0], [2.5, 4.0]]
    brought = bring(xy)
    if isinstance(brought, pd.DataFrame):
        brought.columns = ["x", "y"]
    table = as_table(brought, 1, SHAPE)
    assert table[["x", "y"]].to_numpy().tolist() == xy
    assert table["frame"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("atoms", "frames", "message"),
    [
        (pd.DataFrame({"x": [1.0]}), 1, "no column y"),
        (pd.DataFrame({"x": [1.0], "y": [2.0]}), 2, "no column frame"),
        (pd.DataFrame({"x": [], "y": []}), 1, "no atoms"),
        (frame_of(frame=[0, 0, 3]), 3, "frame 3, but the image has frames 0 to 2"),
        (frame_of(frame=[0, 0.5, 1]), 3, "whole numbers"),
        (frame_of(x=[1.0, np.nan, 2.0]), 1, "not finite, the first in row 1"),
        (frame_of(x=[1.0, 60.0, 2.0]), 1, "outside the image in x"),
        (frame_of(y=[1.0, 40.0, -0.6]), 1, "2 atoms lie outside the image in y"),
        (frame_of(x=[1.0, 1.0, 2.0], y=[3.0, 3.0, 5.0]), 1, "there twice"),
        (frame_of(x=["a", "b", "c"]), 1, "real numbers"),
        (frame_of(x=[1j, 2.0, 3.0]), 1, "real numbers"),
        (frame_of(phase=[1j, 2.0, 3.0]), 1, r"\['phase'\] hold complex numbers"),
        (np.zeros((4, 3)), 1, r"shape \(n, 2\)"),
        (frame_of(sublattice=["A", None, "B"]), 1, "1 atoms have no sublattice"),
        (pd.DataFrame(np.ones((2, 3)), columns=["x", "y", "x"]), 1, "columns of the same name"),
    ],
)
def test_what_cannot_be_used_is_refused(atoms, frames, message):
    with pytest.raises(ValueError, match=message):
        as_table(atoms, frames, SHAPE)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="got int"):
        as_table(7, 1, SHAPE)


def test_one_sublattice_is_selected_and_replaced():
    table = as_table(frame_of(sublattice=["A", "B", "A"]), 1, SHAPE)
    assert list(select_sublattice(table, "B").index) == [1]
    with pytest.raises(ValueError, match="no sublattice 'C'; the table has 'A', 'B'"):
        select_sublattice(table, "C")
    with pytest.raises(ValueError, match="no atom lies in this part"):
        select_sublattice(table[:0], None)
    found = pd.DataFrame({"frame": [0], "x": [7.0], "y": [8.0]})
    replaced = replace_sublattice(table, "A", found)
    assert list(replaced["sublattice"]) == ["B", "A"]
    assert list(replaced["x"]) == [2.5, 7.0]


def test_nearest_distance_is_the_lattice_parameter():
    xy = np.stack(np.meshgrid(np.arange(4) * 6.5, np.arange(3) * 9.0), -1).reshape(-1, 2)
    assert nearest_distance(as_table(xy, 1, SHAPE)) == 6.5
    assert np.isnan(nearest_distance(as_table(xy[:1], 1, SHAPE)))


@pytest.mark.parametrize("frame", [[0, 0, 2, 2, 2, 5], [2, 0, 2, 5, 0, 2], [3], []], ids=str)
def test_rows_go_by_frame_in_their_order(frame):
    frame = np.array(frame, dtype=np.int64)
    found = {number: np.arange(len(frame))[rows] for number, rows in rows_by_frame(frame)}
    assert list(found) == sorted(set(frame.tolist()))
    for number, rows in found.items():
        assert list(rows) == np.flatnonzero(frame == number).tolist()
    if (np.diff(frame) >= 0).all():
        assert all(isinstance(rows, slice) for _, rows in rows_by_frame(frame))
