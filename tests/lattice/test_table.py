import copy

import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.lattice.packing import pack, unpack
from hyperspy_rvae.lattice.table import (
    as_table,
    nearest_distance,
    replace_sublattice,
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


def test_pack_and_unpack_give_the_table_back():
    table = as_table(
        frame_of(frame=[0, 1, 1], element=["Ba", "Ti", "Ba"], depth=[1, 2, 3]), 2, SHAPE
    )
    pd.testing.assert_frame_equal(unpack(pack(table)), table, check_dtype=False)
    some = table.iloc[[0, 2]]
    pd.testing.assert_frame_equal(
        unpack(pack(some)), some, check_dtype=False, check_index_type=False
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["Ba", None, "Ti"], ["Ba", "", "Ti"]),
        (["Ba", np.nan, "Ti"], ["Ba", "", "Ti"]),
        (pd.Categorical(["Ba", None, "Ba"]), ["Ba", "", "Ba"]),
        (pd.array([True, None, False], dtype="boolean"), [1.0, np.nan, 0.0]),
        (pd.array([3, None, 5], dtype="Int64"), [3.0, np.nan, 5.0]),
        ([True, False, True], [True, False, True]),
    ],
    ids=str,
)
def test_missing_values_of_further_columns_survive(values, expected):
    table = as_table(frame_of(further=values), 1, SHAPE)
    again = unpack(pack(table))["further"]
    assert [a == b or (a != a and b != b) for a, b in zip(again, expected, strict=True)] == [
        True
    ] * 3


def test_deep_copies_share_the_columns():
    record = pack(as_table(frame_of(), 1, SHAPE))
    assert copy.deepcopy(record)["columns"]["column0"] is record["columns"]["column0"]
    with pytest.raises(ValueError, match="read-only"):
        record["columns"]["column1"][0] = 5.0


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: r.pop("names"),
        lambda r: r["columns"].pop("column1"),
        lambda r: r["columns"].update(column1=np.zeros(99)),
        lambda r: r["columns"].update(column1=np.zeros((3, 2))),
        lambda r: r["columns"].update(column3=np.array([0, 1, 70])),
        lambda r: r.update(names=["frame", "x", "y", "something"]),
        lambda r: r.update(columns=None),
        lambda r: r["columns"].update(column1=np.array(["a", "b", "c"])),
        lambda r: r["columns"].update(column1=np.array([1, None, "c"], dtype=object)),
        lambda r: r["columns"].update(column1=np.array([1.0, np.inf, 2.0])),
        lambda r: r["columns"].update(column0=np.array([0, -5, 1])),
        lambda r: r["columns"].update(column0=np.array([0.0, 0.5, 1.0])),
        lambda r: r.update(ids=np.array([0, 0, 1])),
        lambda r: r.update(ids=np.array([0.5, 1.5, 2.5])),
    ],
)
def test_damaged_records_are_refused(damage):
    record = pack(as_table(frame_of(), 1, SHAPE))
    damage(record)
    with pytest.raises(ValueError, match="stored table of atoms"):
        unpack(record)


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
