"""Movies: how far each frame drifted, and which atom is which from frame to frame."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.columns import join, take_apart
from hyperspy_rvae.lattice.drift import next_drift
from hyperspy_rvae.lattice.routes import check_frame
from hyperspy_rvae.lattice.scale import column_sizes
from hyperspy_rvae.lattice.table import AT_ONCE, as_table, nearest_distance
from hyperspy_rvae.lattice.tracks import followed_shares, link_tracks
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.checks import check_image, check_number, frame_count, movie_of
from hyperspy_rvae.signals.frames import fold_frames, frame_of, in_turn, wants_progress

if TYPE_CHECKING:
    import dask.array as da
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.image import AtomLatticeImage

_logger = logging.getLogger(__name__)

DRIFT = ["drift_x", "drift_y"]
_REACH = 0.45  # of the distance between neighbours
_HOP = 1.25
_FEWEST = 0.5  # of a frame's atoms; where fewer are followed, something is wrong


def measure_drift(image: AtomLatticeImage, *, show_progressbar: bool | None = None) -> pd.DataFrame:
    """Measure how far each frame has drifted since the first.

    Each frame is correlated with the one before, to a twentieth of a pixel, in one pass over
    the movie. A frame without contrast, or with pixels that are not finite, is passed over with a
    warning.

    Returns
    -------
    drift
        Indexed by ``frame``: ``drift_x`` and ``drift_y`` of the content, right and down, in
        pixels; what :meth:`track_atoms` and :meth:`seed_atoms` take.

    Raises
    ------
    ValueError
        If this is one image and no movie, or no frame can be used.
    """
    check_image(image)
    _check_movie(image)
    movie = movie_of(image)
    drift = fold_frames(next_drift, movie, _blur(movie), show_progressbar=show_progressbar)
    lost = np.flatnonzero(~np.isfinite(drift).all(1))
    if len(lost):
        warnings.warn(
            f"frames {_named(lost)} have no contrast, or pixels that are not finite, so that their "
            "drift is not known; it is taken from the frames around them.",
            stacklevel=3,
        )
        drift = pd.DataFrame(drift).interpolate(limit_direction="both").to_numpy()
    return pd.DataFrame(drift, columns=DRIFT).rename_axis("frame")


def track_atoms(
    image: AtomLatticeImage,
    reach: float | None = None,
    *,
    hop: float | None = None,
    memory: int = 1,
    drift: pd.DataFrame | np.ndarray | None = None,
    show_progressbar: bool | None = None,
) -> None:
    """Follow the atoms from frame to frame, by trackpy's linker.

    The table gets the columns ``track``, the same number for the same atom in every frame,
    and ``drift_x`` and ``drift_y``, the drift of the frame in pixels. Atoms may appear and
    vanish.

    Parameters
    ----------
    reach
        Largest step of an atom from frame to frame besides the drift, in pixels. If not given,
        0.45 of the distance to the nearest neighbour.
    hop
        Largest hop to a place that was empty, in pixels; 0 for none. If not given, 1.25 of
        the distance to the nearest neighbour.
    memory
        Frames for which an atom may go unseen and keep its number.
    drift
        x and y in pixels for each frame; measured if not given.
    show_progressbar
        If not given, HyperSpy's preference.

    Warns
    -----
    UserWarning
        If the movie drifts by more than half the distance between neighbours in one step, or
        most atoms of a frame are lost.

    Raises
    ------
    ValueError
        If this is one image and no movie, or `reach` is too large to tell atoms apart.
    """
    check_image(image)
    _check_movie(image)
    table = record.current_table(image, copy=False)
    if table.empty:
        raise ValueError("no atom lies in this part of the movie, so there is nothing to follow.")
    if isinstance(memory, bool) or not isinstance(memory, (int, np.integer)) or memory < 0:
        raise ValueError(f"memory must be a whole number of frames, 0 or more, got {memory!r}.")
    aspect = np.array([1.0, record.pixel_aspect(image)])
    spacing = nearest_distance(table.assign(y=table["y"] * aspect[1]))
    reach = _distance(reach, "reach", _REACH * spacing)
    hop = _distance(hop, "hop", _HOP * spacing)
    shifts = _drift(image, drift, show_progressbar)
    _check_steps(shifts * aspect, spacing)
    frame = table["frame"].to_numpy()
    places = table[["x", "y"]].to_numpy()
    for rows in (slice(first, first + AT_ONCE) for first in range(0, len(places), AT_ONCE)):
        places[rows] = (places[rows] - shifts[frame[rows]]) * aspect
    ends = np.searchsorted(frame, np.arange(1, frame_count(image)))
    tracks = link_tracks(
        np.split(places, ends),
        reach,
        hop,
        int(memory),
        show_progress=wants_progress(show_progressbar),
    )
    del places
    _check_followed(followed_shares(tracks), reach)
    drift = {name: shifts[frame, k] for k, name in enumerate(DRIFT)}
    record.write_table(image, table.assign(**drift, track=np.concatenate(tracks)))


def seed_atoms(
    image: AtomLatticeImage,
    reference: pd.DataFrame | np.ndarray | None = None,
    *,
    frame: int = 0,
    drift: pd.DataFrame | np.ndarray | None = None,
    show_progressbar: bool | None = None,
) -> None:
    """Put the atoms of one frame into every frame, moved by the drift.

    They replace the table and are seeds for :meth:`refine_atoms`. They come with the columns
    ``track``, ``drift_x`` and ``drift_y`` of :meth:`track_atoms`. Those that the drift takes
    out of the image are left out there.

    Parameters
    ----------
    reference
        Atoms of `frame`, as :meth:`set_atoms` takes them for a single image. If not given,
        those that the table has there.
    frame
        The frame that they are of.
    drift
        x and y in pixels for each frame; measured if not given.
    show_progressbar
        If not given, HyperSpy's preference.

    Raises
    ------
    ValueError
        If this is one image and no movie, or `frame` has no atoms.
    """
    check_image(image)
    _check_movie(image)
    frames, shape = frame_count(image), image.data.shape[-2:]
    if (
        isinstance(frame, bool)
        or not isinstance(frame, (int, np.integer))
        or not 0 <= frame < frames
    ):
        raise ValueError(f"frame must be one of 0 to {frames - 1}, got {frame!r}.")
    here = _reference(image, reference, frame, shape)
    shifts = _drift(image, drift, show_progressbar)
    number = np.repeat(np.arange(frames, dtype=np.int32), len(here))
    rows = np.tile(np.arange(len(here), dtype=np.int32), frames)
    kept = np.ones(len(rows), dtype=bool)
    for name, drifts, size in zip("xy", (shifts - shifts[frame]).T, shape[::-1], strict=True):
        places = here[name].to_numpy()[rows] + drifts[number]
        kept &= (places >= -0.5) & (places < size - 0.5)
    if not kept.any():
        raise ValueError("no seed is left on the image after the drift; check its signs and units.")
    number, rows = number[kept], rows[kept]
    seeds = {name: values.take(rows) for name, values in take_apart(here, copy=False).items()}
    for name, drift, drifts in zip("xy", DRIFT, shifts.T, strict=True):
        seeds[name] = seeds[name] + (drifts - drifts[frame])[number]
        seeds[drift] = drifts[number]
    seeds["track"] = rows
    record.write_table(image, as_table(join([seeds], number), frames, shape))


def plot_tracks(
    image: AtomLatticeImage, *, frame: int = 0, ax: Axes | None = None, **kwargs: Any
) -> Axes:
    """Plot the ways of the atoms, drift taken off, over one frame.

    Atoms that are there from the first frame to the last are dots; those that appear later are
    circles, those that vanish earlier are crosses. Steps five times as long as usual are arrows.

    Parameters
    ----------
    frame
        Flat navigation index of the frame to draw below.
    ax
        Axes to draw on; new ones if not given.
    **kwargs
        Passed to :class:`matplotlib.collections.LineCollection`, which draws the ways.

    Returns
    -------
    axes
        The axes drawn on.

    Raises
    ------
    ValueError
        If there are no tracks yet.
    """
    from hyperspy_rvae.plotting.tracks import plot_tracks as plot

    table = image.atoms
    missing = [name for name in ("track", *DRIFT) if name not in table]
    if missing:
        raise ValueError(
            f"the table has no column {missing[0]}; follow the atoms with track_atoms()."
        )
    table = table.dropna(subset=["track"])  # atoms found since then have none
    below = frame_of(image, frame, image.data.shape[-2:])
    here = table.loc[table["frame"] == frame, DRIFT]
    moved = table[["x", "y"]].to_numpy() - table[DRIFT].to_numpy()
    return plot(
        moved + (here.to_numpy()[0] if len(here) else 0.0),
        table["frame"].to_numpy(),
        table["track"].to_numpy(),
        image=below,
        pixel=record.image_pixel(image),
        ax=ax,
        **kwargs,
    )


def _reference(
    image: AtomLatticeImage,
    reference: pd.DataFrame | np.ndarray | None,
    frame: int,
    shape: tuple[int, int],
) -> pd.DataFrame:
    """Atoms of the frame that seeds the others."""
    if reference is not None:
        return as_table(reference, 1, shape)
    table = image.atoms
    here = table[table["frame"] == frame]
    if here.empty:
        raise ValueError(
            f"frame {frame} has no atoms to seed the others with; give another frame, or the "
            "positions themselves."
        )
    return here.reset_index(drop=True)


def _drift(
    image: AtomLatticeImage,
    drift: pd.DataFrame | np.ndarray | None,
    show_progressbar: bool | None,
) -> np.ndarray:
    """Drift in pixels, shape ``(frames, 2)``: the user's, or measured."""
    if drift is None:
        return measure_drift(image, show_progressbar=show_progressbar).to_numpy()
    missing = [name for name in DRIFT if isinstance(drift, pd.DataFrame) and name not in drift]
    if missing:
        raise ValueError(f"drift has no column {missing[0]}; measure_drift() gives {DRIFT}.")
    values = drift[DRIFT] if isinstance(drift, pd.DataFrame) else drift
    shifts = np.asarray(values, dtype=np.float64)
    if shifts.shape != (frame_count(image), 2) or not np.isfinite(shifts).all():
        raise ValueError(
            f"drift must be x and y in pixels for each of the {frame_count(image)} frames, all "
            f"finite, got shape {shifts.shape}; measure_drift() gives it."
        )
    return shifts


def _blur(movie: np.ndarray | da.Array) -> float:
    """Half the size of the columns of the first frame that can be used, pixels."""
    failure = None
    for _, frame in in_turn(movie):
        try:
            return float(np.clip(column_sizes(check_frame(frame))[0] / 2, 0.5, 3.0))
        except ValueError as error:
            failure = failure or error
    raise ValueError(f"no frame can be used; frame 0: {failure}") from failure


def _check_movie(image: AtomLatticeImage) -> None:
    if frame_count(image) < 2:
        raise ValueError(
            "one image has no drift and no tracks; a movie of at least two frames is needed, its "
            "frames along a navigation axis."
        )


def _check_steps(shifts: np.ndarray, spacing: float) -> None:
    """Flag drift after which a lattice cannot be told from itself."""
    far = 1 + np.flatnonzero(np.hypot(*np.diff(shifts, axis=0).T) > spacing / 2)
    if len(far):
        warnings.warn(
            f"the movie drifts by more than half the distance between neighbours, {spacing:.1f} "
            f"px, before frames {_named(far)}. A perfect lattice looks the same after such a step, "
            "so tracks may be off by a lattice vector there; compare with plot_tracks(), or give "
            "the drift.",
            stacklevel=4,
        )


def _check_followed(shares: np.ndarray, reach: float) -> None:
    lost = np.flatnonzero(shares < _FEWEST)
    if len(lost):
        warnings.warn(
            f"less than half of the atoms were followed from frames {_named(lost)} to the next, "
            f"within a reach of {reach:.1f} px after drift. Check drift and atoms of these frames.",
            stacklevel=4,
        )


def _distance(value: float | None, name: str, usual: float) -> float:
    if value is None:
        if not np.isfinite(usual):
            raise ValueError(
                f"no frame has two atoms, so {name} cannot be estimated; give it in pixels."
            )
        _logger.info("%s is %.1f px", name, usual)
        return usual
    check_number(value, name)
    if value < 0 or (value == 0 and name == "reach"):
        raise ValueError(f"{name} must be a distance above 0 in pixels, got {value!r}.")
    return float(value)


def _named(frames: np.ndarray) -> str:
    text = ", ".join(str(frame) for frame in frames[:5])
    return text if len(frames) <= 5 else f"{text} and {len(frames) - 5} more"
