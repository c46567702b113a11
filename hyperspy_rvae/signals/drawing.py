"""From values and vectors to figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hyperspy_rvae.lattice.mesh import BESIDE, square_offsets
from hyperspy_rvae.lattice.uncertainty import neighbour_noise
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.frames import frame_of
from hyperspy_rvae.signals.maps import rows_of_frame
from hyperspy_rvae.signals.neighbourhood import neighbours_of
from hyperspy_rvae.signals.regions import everything

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.values import AtomValues
    from hyperspy_rvae.signals.vectors import AtomVectors

DIVERGING = "RdBu_r"
MOST_COLOURS = 8  # of ten; two are for the others and for none
XY, UV = ["x", "y"], ["u", "v"]


def draw_map(
    signal: AtomValues,
    column: str,
    frame: int,
    image: Any,
    ax: Axes | None,
    options: dict[str, Any],
) -> Axes:
    """Draw one number per atom; as ``AtomValues.plot_map``."""
    from hyperspy_rvae.plotting.maps import plot_map

    table = everything(signal)
    if column not in table:
        raise ValueError(f"there is no column {column!r}; there are {', '.join(table)}.")
    here = rows_of_frame(table, frame)
    values = here[column].to_numpy()
    if column in ("cluster", "class", "domain"):
        values = _named(signal, column, values)
    elif column in signal.columns and (values < 0).any() and (values > 0).any():
        most = float(np.nanquantile(np.abs(values), 0.99))
        options = {"cmap": DIVERGING, "vmin": -most, "vmax": most} | options
    return plot_map(
        here[XY].to_numpy(),
        values,
        column,
        units=signal.units_of(column),
        image=_image(signal, image, frame),
        pixel=record.pixel(signal),
        ax=ax,
        **options,
    )


def draw_maps(signal: AtomValues, frame: int, image: Any, options: dict[str, Any]) -> np.ndarray:
    """Draw every number per atom; as ``AtomProperties.plot``."""
    from hyperspy_rvae.plotting.canvas import row_of_axes

    axes = row_of_axes(len(signal.columns))
    for column, ax in zip(signal.columns, axes, strict=True):
        draw_map(signal, column, frame, image, ax, options)
    return axes


def draw_vectors(
    signal: AtomVectors, column: str | None, frame: int, image: Any, options: dict[str, Any]
) -> Axes:
    """Draw arrows; as ``AtomVectors.plot``."""
    from hyperspy_rvae.plotting.temul import plot_vectors

    here = signal.vectors_of(frame)
    if column is None and "plot_style" not in options:
        column = next((name for name in ("class", "cluster") if name in here), None)
    seen = {
        "units": signal.units,
        "image": _image(signal, image, frame),
        "pixel": record.pixel(signal),
    }
    save = options.pop("save", None)
    if column is None:
        ax = plot_vectors(here[XY].to_numpy(), here[UV].to_numpy(), **seen, **options)
    else:
        ax = _draw_groups(signal, column, here, seen | options)
    _note_noise(ax, signal, here)
    if save is not None:
        ax.figure.savefig(save)  # a tight box would cut off the key
    return ax


def _draw_groups(
    signal: AtomVectors, column: str, here: pd.DataFrame, options: dict[str, Any]
) -> Axes:
    from hyperspy_rvae.plotting.vectors import plot_groups
    from hyperspy_rvae.signals.grouping import group_labels

    labels = group_labels(signal, column).loc[here.index].to_numpy()
    names = dict(enumerate(_class_names(signal))) if column == "class" else None
    return plot_groups(
        here[XY].to_numpy(), here[UV].to_numpy(), labels, column, names=names, **options
    )


def _note_noise(ax: Axes, signal: AtomVectors, here: pd.DataFrame) -> None:
    """Write beside the map what a single vector can be trusted to, where there is a lattice."""
    from hyperspy_rvae.plotting.canvas import add_note

    try:
        u, v = neighbour_noise(here[UV].to_numpy(), neighbours_of(here, BESIDE))
    except ValueError:
        return
    if np.isfinite([u, v]).all():
        add_note(ax, f"noise between neighbours: {u:.2g}, {v:.2g} {signal.units}")


def draw_comparison(
    signal: AtomVectors, other: AtomVectors, frame: int, image: Any, options: dict[str, Any]
) -> np.ndarray:
    """Draw two fields; as ``AtomVectors.plot_comparison``."""
    from hyperspy_rvae.plotting.vectors import plot_comparison

    if signal.units != other.units:
        raise ValueError(f"these vectors are in {signal.units} and the others in {other.units}.")
    left, right = signal.vectors_of(frame), other.vectors_of(frame)
    return plot_comparison(
        (left[XY].to_numpy(), right[XY].to_numpy()),
        (left[UV].to_numpy(), right[UV].to_numpy()),
        units=signal.units,
        image=_image(signal, image, frame),
        pixel=record.pixel(signal),
        **options,
    )


def draw_histograms(signal: AtomVectors, frame: int | None, bins: int) -> np.ndarray:
    """Draw histograms; as ``AtomVectors.plot_histograms``."""
    from hyperspy_rvae.plotting.vectors import plot_histograms

    rows = signal.vector_rows() if frame is None else signal.vectors_of(frame)
    return plot_histograms(rows[UV].to_numpy(), bins=bins, units=signal.units)


def draw_tsne(
    signal: AtomVectors,
    column: str | None,
    radius: int,
    perplexity: float,
    seed: int | None,
    ax: Axes | None,
    options: dict[str, Any],
) -> Axes:
    """Draw an embedding; as ``AtomVectors.plot_tsne``."""
    from hyperspy_rvae.analysis.classification import embed
    from hyperspy_rvae.analysis.patches import patches
    from hyperspy_rvae.plotting.vectors import plot_embedding
    from hyperspy_rvae.signals.denoising import check_radius

    check_radius(radius, least=0)
    rows, offsets = signal.vector_rows(), square_offsets(radius)
    if len(rows) < 4:
        raise ValueError(f"{len(rows)} vectors are too few to lay out; at least 4 are needed.")
    table = everything(signal).loc[rows.index]
    name = "angle" if column is None else column
    if name not in table:
        raise ValueError(f"there is no column {name!r}; there are {', '.join(table)}.")
    samples = patches(rows[UV].to_numpy(), neighbours_of(rows, offsets), offsets)
    places = embed(samples.reshape(len(samples), -1), perplexity, seed)
    return plot_embedding(places, table[name].to_numpy(), name, ax=ax, **options)


def _image(signal: AtomValues, image: Any, frame: int) -> np.ndarray | None:
    return None if image is None else frame_of(image, frame, record.image_shape(signal))


def _class_names(signal: AtomValues) -> list[str]:
    described = record.read_node(signal, "displacement")
    return list(described.get("classes", {}).get("names", []))


def _named(signal: AtomValues, column: str, values: np.ndarray) -> np.ndarray:
    """Names of groups, as text, so that each of the largest gets a colour of its own."""
    names = dict(enumerate(_class_names(signal))) if column == "class" else {}
    known = {-1: "none"} | {k: str(k) for k in range(MOST_COLOURS)} | names
    return np.array([known.get(int(value), "others") for value in values])
