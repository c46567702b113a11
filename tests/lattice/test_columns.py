import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.lattice.columns import as_column, gather, join, take_apart
from hyperspy_rvae.lattice.packing import pack


@pytest.mark.parametrize("frame", [[0, 0, 2, 2], [2, 2, 0, 1]], ids=str)
def test_tables_are_joined_as_pandas_does(frame):
    first = pd.DataFrame({"x": [1.0, 2.0], "sigma": [0.5, 0.7], "sublattice": ["A", "B"]})
    second = pd.DataFrame({"x": [3.0, 4.0], "sublattice": ["C", "A"], "frame": 9})
    parts = [first, first[:0], second]
    joined = join([take_apart(table) for table in parts], np.array(frame))
    expected = pd.concat([first, second.drop(columns="frame")]).assign(frame=frame)
    expected = expected.sort_values("frame", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(joined, expected, check_dtype=False)


def test_nothing_is_joined_to_nothing():
    empty = pd.DataFrame({"x": np.empty(0), "y": np.empty(0)})
    joined = join([take_apart(empty), take_apart(empty)], np.empty(0, dtype=np.int64))
    assert len(joined) == 0 and list(joined) == ["x", "y", "frame"]


def test_what_is_a_column_already_is_not_copied():
    column = as_column(np.arange(5.0))
    assert as_column(column) is column
    assert as_column(np.asarray(column)) is column
    for part in (column[1:], column[::-1], column[:1], column.view(np.int64)):
        other = as_column(np.asarray(part))
        assert other is not column and other.tolist() == part.tolist()


def test_columns_are_read_only_wherever_they_come_from():
    column = as_column(np.arange(5.0))
    assert not as_column(column.take([1, 0, 2])).flags.writeable
    assert not pickle.loads(pickle.dumps(column)).flags.writeable
    parts = [pd.DataFrame({"x": [1.0, 2.0]}), pd.DataFrame({"x": [3.0]})]
    joined = join([take_apart(table) for table in parts], np.array([1, 1, 0]))
    assert joined["x"].tolist() == [3.0, 1.0, 2.0]
    assert not any(stored.flags.writeable for stored in pack(joined)["columns"].values())


def test_columns_that_are_there_are_not_stood_in_for():
    parts = [{"x": np.ones(10**6, dtype=np.int8)} for _ in range(2)]
    tracemalloc.start()
    try:
        gather(parts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5e6  # twice what is gathered; NaN for one part alone would be 8e6
