import copy

import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.lattice.packing import pack, unpack
from hyperspy_rvae.lattice.table import as_table

SHAPE = (40, 60)


def frame_of(**columns):
    return pd.DataFrame({"x": [1.0, 2.5, 59.4], "y": [3.0, 4.0, 39.0]} | columns)


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


def twice(record):
    record["columns"]["column4"] = record["columns"]["column1"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: r.pop("names"),
        lambda r: r["columns"].pop("column1"),
        lambda r: r["columns"].update(column1=np.zeros(99)),
        lambda r: r["columns"].update(column1=np.zeros((3, 2))),
        lambda r: r["columns"].update(column3=np.array([0, 1, 70])),
        lambda r: r.update(names=["frame", "x", "y", "something"]),
        lambda r: r.update(names=["frame", "x", "y", "sublattice", "x"]) or twice(r),
        lambda r: r["columns"].update(column3=np.array([0.0, 0.0, 0.0])),
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


def test_what_is_read_and_packed_again_is_shared():
    record = pack(as_table(frame_of(depth=[1, 2, 3]), 1, SHAPE))
    table = unpack(record, copy=False)
    table["x"] = table["x"] + 1
    again = pack(table.assign(more=1.5))
    shared = {
        name: again["columns"][f"column{place}"] is record["columns"].get(f"column{place}")
        for place, name in enumerate(again["names"])
    }
    assert shared["frame"] and shared["y"] and shared["depth"]
    assert not shared["x"] and not shared["more"]
    assert record["columns"]["column1"].tolist() == [1.0, 2.5, 59.4]
    part = pack(unpack(record, copy=False).iloc[1:])["columns"]["column1"]
    assert part.tolist() == [2.5, 59.4]
    assert part.base is None  # and keeps no whole column


def test_a_changed_copy_leaves_the_record_alone():
    record = pack(as_table(frame_of(), 1, SHAPE))
    table = unpack(record)
    table.loc[0, "x"] = 7.0
    table["y"] += 1
    assert record["columns"]["column1"].tolist() == [1.0, 2.5, 59.4]
    assert record["columns"]["column2"].tolist() == [3.0, 4.0, 39.0]
