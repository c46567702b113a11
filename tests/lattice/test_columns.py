import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.lattice.columns import as_column, join, take_apart


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
