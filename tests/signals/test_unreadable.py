"""A movie of which a chunk cannot be read: the error names the frames."""

import hyperspy.api as hs
import numpy as np
import pytest

FRAMES = 6


@pytest.fixture(params=["zspy", "hspy"])
def damaged(request, tmp_path):
    """A movie in chunks of two frames, of which the third cannot be read."""
    rows, columns = np.mgrid[:60, :72] / 12.0 - 0.5
    peaks = np.exp(-6 * ((rows - rows.round()) ** 2 + (columns - columns.round()) ** 2))
    movie = hs.signals.Signal2D(peaks + np.random.default_rng(0).normal(0, 0.02, (FRAMES, 60, 72)))
    movie.set_signal_type("atom_lattice")
    movie.find_atoms(separation=8, refine=False)
    path = tmp_path / f"movie.{request.param}"
    if request.param == "zspy":
        movie.save(path, chunks=(2, 60, 72))
        chunk = next(path.glob("Experiments/*/data/2/0/0"))
        chunk.write_bytes(b"\xff" * chunk.stat().st_size)
    else:
        movie.save(path, chunks=(2, 60, 72), compression="gzip")
        spoil(path)
    return hs.load(path, lazy=True)


def spoil(path):
    """Overwrite the compressed bytes of the last chunk in an HDF5 file."""
    import h5py

    with h5py.File(path) as file:
        (group,) = file["Experiments"].values()
        where = group["data"].id.get_chunk_info_by_coord((4, 0, 0))
    with path.open("r+b") as file:
        file.seek(where.byte_offset)
        file.write(b"\xff" * where.size)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.find_atoms(separation=8),
        lambda s: s.refine_atoms(method="center_of_mass"),
        lambda s: s.measure_drift(),
        lambda s: s.extract_subimages(9).fit_rvae(1, epochs=1),
        lambda s: s.extract_subimages(9).fit_rvae(1, epochs=1, buffer_subimages=40),
    ],
    ids=["find", "refine", "drift", "fit", "stream"],
)
def test_the_frames_are_named_and_the_table_stays(damaged, call):
    before = damaged.atoms
    with pytest.raises(OSError, match=r"frames 4 to 5 cannot be read \("):
        call(damaged)
    assert damaged.atoms.equals(before)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda s: s.to_atomap(4), "frame 4 cannot"),
        (lambda s: s.plot_residual(5), "frame 5 cannot"),
        (lambda s: s.find_cells() or s.plot_cells(frame=5), "frame 5 cannot"),
        (lambda s: s.displacement_map("A", method="time").plot(frame=4, image=s), "frame 4 cannot"),
        (lambda s: s.plot_atoms(), "frames 4 to 5 cannot"),
    ],
    ids=["atomap", "residual", "cells", "image", "atoms"],
)
def test_the_frame_that_is_drawn_is_named(damaged, call, named):
    with pytest.raises(OSError, match=rf"{named} be read \("):
        call(damaged)


def test_frames_that_can_be_read_serve(damaged):
    whole = damaged.inav[:4]
    whole.find_atoms(separation=8)
    assert set(whole.atoms["frame"]) == set(range(4))


def test_a_file_that_was_cut_short(tmp_path):
    path = tmp_path / "movie.hspy"
    hs.signals.Signal2D(np.zeros((3, 40, 50))).save(path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(OSError, match="truncated"):
        hs.load(path)
