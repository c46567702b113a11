"""Bytes an atom that each method takes, beside the image's own table: what stays, and the peak.

    python tests/benchmarks/memory.py                       # all methods, a million atoms
    python tests/benchmarks/memory.py --atoms 10000000 --only strain_map neighbours

Every method runs in a process of its own, on a movie of a strained perovskite whose pixels are not
looked at. The peak is that of the resident memory during the call, which Linux alone tells.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIZE, SPACING = 512, 14.0
ALONE = ", one sublattice"  # of which all atoms are then
FITTED = {
    **dict.fromkeys(("sigma_x", "sigma_y", "rotation", "x_std", "y_std"), np.float32(1)),
    **dict.fromkeys(("tail_1", "tail_2"), np.float32(0)),
    **{"amplitude": 1.0, "background": 1.0, "converged": True},
}


def crystal(atoms: int) -> Any:
    """Make about so many atoms of two sublattices, moved a little at random in every frame."""
    import pandas as pd

    side = np.arange(14, SIZE - 14, SPACING)
    corners = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    centres = corners.reshape(len(side), len(side), 2)[:-1, :-1].reshape(-1, 2) + SPACING / 2
    xy = np.concatenate([corners, centres + [0.6, -0.3]])
    frames = max(2, round(atoms / len(xy)))
    moved = np.random.default_rng(0).normal(0, 0.1, (frames, *xy.shape)) + xy
    return pd.DataFrame(
        {
            "frame": np.repeat(np.arange(frames), len(xy)),
            "x": moved[..., 0].ravel(),
            "y": moved[..., 1].ravel(),
            "sublattice": np.tile(np.repeat(["A", "B"], [len(corners), len(centres)]), frames),
        }
    )


def movie(table: Any) -> Any:
    """Make a lazy movie for a table, of zeros."""
    import dask.array as da
    import hyperspy.api as hs

    hs.preferences.General.show_progressbar = False
    frames = int(table["frame"].iloc[-1]) + 1
    s = hs.signals.Signal2D(da.zeros((frames, SIZE, SIZE), chunks=(8, -1, -1), dtype="f4"))
    s = s.as_lazy()
    for axis in s.axes_manager.signal_axes:
        axis.scale, axis.units = 0.02, "nm"
    s.set_signal_type("atom_lattice")
    return s


def fitted(frame: np.ndarray, columns: Any, *_: Any) -> Any:
    """Stand in for a fit: the columns that it gives, and no work."""
    return columns.assign(**FITTED)


def found(frame: np.ndarray, *_: Any) -> Any:
    """Stand in for a search."""
    table = crystal(1).query("frame == 0")
    return fitted(frame, table[["x", "y"]])


def refine(s: Any) -> None:
    """Refine, but for the fit itself."""
    from hyperspy_rvae.signals import finding

    finding.refine_columns = fitted
    s.refine_atoms()


def find(s: Any) -> None:
    """Find, but for the search itself."""
    from hyperspy_rvae.signals import finding

    finding.find_columns = found
    s.find_atoms(separation=8)


def encode(s: Any) -> Any:
    """Cut and encode, lazily."""
    p = s.extract_subimages(9)
    return p.encode(model())


def model() -> Any:
    """Make a small model."""
    from hyperspy_rvae.models import RVAE

    return RVAE(1, epochs=1, seed=0).fit(np.random.default_rng(0).random((100, 9, 9)))


def vectors(s: Any) -> Any:
    """Measure displacements."""
    return s.displacement_map()


IMAGE: dict[str, Callable[[Any], Any]] = {
    "atoms": lambda s: s.atoms,
    "inav": lambda s: s.inav[1:].atoms,
    "isig": lambda s: s.isig[3:].atoms,
    "refine_atoms": refine,
    "track_atoms": lambda s: s.track_atoms(drift=np.zeros((len(s.data), 2))),
    "seed_atoms": lambda s: s.seed_atoms(drift=np.zeros((len(s.data), 2))),
    "find_cells": lambda s: s.find_cells(),
    "displacement_map": vectors,
    **{
        f"displacement_map({method})": lambda s, method=method: s.displacement_map(method=method)
        for method in ("cells", "lattice", "planes", "time")
    },
    "strain_map": lambda s: s.strain_map(),
    "cell_map": lambda s: s.cell_map(),
    "tilt_map": lambda s: s.tilt_map("B", centre="A"),
    "neighbours": lambda s: s.neighbours(4),
    "rings": lambda s: s.rings("A"),
    "extract_subimages": lambda s: s.extract_subimages(9),
    "extract and encode": encode,
    f"displacement_map(lattice){ALONE}": lambda s: s.displacement_map("A", method="lattice"),
    f"displacement_map(time){ALONE}": lambda s: s.displacement_map("A", method="time"),
    f"strain_map{ALONE}": lambda s: s.strain_map(),
    f"find_atoms{ALONE}": find,
}
VECTORS: dict[str, Callable[[Any], Any]] = {
    "to_dataframe": lambda d: d.to_dataframe(),
    "magnitude": lambda d: d.magnitude(),
    "noise": lambda d: d.noise(),
    "correct": lambda d: d.correct("plane"),
    "denoise": lambda d: d.denoise("pca", components=2, seed=0),
    "cluster": lambda d: d.cluster(2, seed=0),
    "cluster and find_domains": lambda d: d.cluster(2, seed=0).find_domains(),
    "gradient_map": lambda d: d.gradient_map(),
    "average_in_regions": lambda d: d.average_in_regions(4, frame=1),
    "plot_map": lambda d: d.plot_map("u", frame=1),
    "decomposition": lambda d: d.decomposition(print_info=False),
    "save": lambda d: d.save(Path(tempfile.mkdtemp()) / "d.zspy"),
}


def resident() -> tuple[int, int]:
    """Give resident memory now, and the most since it was last set back, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return tuple(1024 * int(values[name].split()[0]) for name in ("VmRSS", "VmHWM"))


def measure(name: str, atoms: int) -> dict[str, float]:
    """Call one method, and say what it takes an atom."""
    import hyperspy_rvae.models  # noqa: F401  whose size is none of the atoms'

    few, table = crystal(4000), crystal(atoms)
    if name.endswith(ALONE):
        few["sublattice"] = table["sublattice"] = "A"
    warm, count = movie(few), len(table)
    s = movie(table)
    if name == "set_atoms":
        subject, call = s, lambda s: s.set_atoms(table)
    elif name in IMAGE:
        s.set_atoms(table)
        subject, call = s, IMAGE[name]
    else:
        s.set_atoms(table)
        subject, call = vectors(s), VECTORS[name]
        del s
    warm.set_atoms(few)
    call(vectors(warm) if name in VECTORS else warm) if name != "set_atoms" else None
    if name != "set_atoms":
        del table
    gc.collect()
    before, _ = resident()
    Path("/proc/self/clear_refs").write_text("5")
    result = call(subject)
    peak = resident()[1]
    gc.collect()
    after = resident()[0]
    del result
    return {"stays": (after - before) / count, "peak": (peak - before) / count, "atoms": count}


def apart(name: str, atoms: int) -> dict[str, float]:
    """Measure in a process of its own, whose arrays go back to the system when they are freed."""
    command = [sys.executable, "-W", "ignore", __file__, "--apart", name, "--atoms", str(atoms)]
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MPLBACKEND": "agg"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", default=["set_atoms", *IMAGE, *VECTORS])
    parser.add_argument("--apart")
    given = parser.parse_args()
    if given.apart:
        print(json.dumps(measure(given.apart, given.atoms)))
        return
    for name in given.only:
        line = apart(name, given.atoms)
        bytes_an_atom = f"stays {line['stays']:5.0f}  peak {line['peak']:5.0f} bytes an atom"
        print(f"{name:28s} {bytes_an_atom}", flush=True)


if __name__ == "__main__":
    main()
