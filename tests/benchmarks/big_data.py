"""Time and memory of movies larger than memory: what grows, and what the disk would allow.

    python tests/benchmarks/big_data.py frames            # 10 to 10,000 small frames
    python tests/benchmarks/big_data.py large --gb 20     # one run, from .zspy to .zspy
    python tests/benchmarks/big_data.py cut --peer-python PY  # windows a second, beside AtomAI's
    python tests/benchmarks/big_data.py encode            # lazily, and in memory
    python tests/benchmarks/big_data.py workers           # a cluster of one worker, and of two

Every measurement runs in a process of its own. Times depend on the machine and what else it does;
compare ratios of one run. Where a machine is shared, seconds of the processor are given beside.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CHUNK = 2**23  # bytes
KEEP = {"MALLOC_TRIM_THRESHOLD_": 2**30, "MALLOC_MMAP_THRESHOLD_": 2**30, "OMP_NUM_THREADS": 1}
PEER = """
import sys, time, warnings; warnings.simplefilter("ignore")
import numpy as np
from atomai.stat.multivar import imlocal
frames, xy = np.load(sys.argv[1]), np.load(sys.argv[2])
rows = {k: np.c_[xy[:, 1], xy[:, 0], np.zeros(len(xy))] for k in range(len(frames))}
best = 0
for _ in range(3):
    start = time.process_time()
    count = len(imlocal(frames[..., None], rows, window_size=24).imgstack)
    best = max(best, count / (time.process_time() - start))
print(best)
"""


def lattice(size: int, atoms: int) -> np.ndarray:
    """Places of about so many atoms in a frame, whose windows of 17 px are whole."""
    side = max(2, round(np.sqrt(atoms)))
    places = np.linspace(10, size - 11, side)
    return np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)


def build(path: Path, frames: int, size: int, atoms: int) -> None:
    """Write a noisy movie and the table of its atoms."""
    import dask.array as da
    import hyperspy.api as hs
    import pandas as pd

    xy = lattice(size, atoms)
    rng = np.random.default_rng(0)
    clean = np.zeros((size, size), dtype=np.float32)
    rows, columns = np.indices((size, size), dtype=np.float32)
    for x, y in xy:
        near = slice(max(0, int(y) - 8), int(y) + 9), slice(max(0, int(x) - 8), int(x) + 9)
        clean[near] += np.exp(-((columns[near] - x) ** 2 + (rows[near] - y) ** 2) / 8)
    noise = rng.normal(0, 0.1, (16, size, size)).astype(np.float32)

    def block(block_info: dict) -> np.ndarray:
        first, last = block_info[None]["array-location"][0]
        shifts = np.random.default_rng(first).integers(size, size=(last - first, 2))
        kinds = [np.roll(noise[(first + k) % 16], s, (0, 1)) for k, s in enumerate(shifts)]
        return clean + np.stack(kinds)

    step = max(1, CHUNK // (4 * size**2))
    chunks = (*[step] * (frames // step), *([frames % step] if frames % step else []))
    data = da.map_blocks(block, chunks=(chunks, (size,), (size,)), dtype="f4")
    hs.preferences.General.show_progressbar = False
    hs.signals.Signal2D(data).as_lazy().save(path, show_progressbar=False)
    moved = rng.normal(0, 0.3, (frames, *xy.shape)).reshape(-1, 2)
    table = pd.DataFrame(np.tile(xy, (frames, 1)) + moved, columns=["x", "y"])
    table.assign(frame=np.repeat(np.arange(frames), len(xy))).to_pickle(f"{path}.atoms")


def load(path: str) -> object:
    """Open a movie lazily, with its atoms."""
    import hyperspy.api as hs
    import pandas as pd

    hs.preferences.General.show_progressbar = False
    s = hs.load(path, lazy=True, signal_type="atom_lattice")
    s.set_atoms(pd.read_pickle(f"{path}.atoms"))
    return s


def read(path: str) -> dict[str, float]:
    """Read a movie once, and do nothing with it."""
    import hyperspy.api as hs

    s = hs.load(path, lazy=True)
    start = time.perf_counter()
    s.data.map_blocks(lambda part: part[:1, :1, :1], dtype="f4").compute()
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time()}


def whole(path: str, window: str, share: str, invariances: str) -> dict[str, float]:
    """Cut, learn from a share, encode all, to disk."""
    given = {"latent_dim": 2, "epochs": 2, "seed": 0, "invariances": tuple(invariances.split())}
    start = time.perf_counter()
    p = load(path).extract_subimages(int(window))
    cut = time.perf_counter()
    z = p.fit_rvae(**given, max_subimages=int(share))
    learnt = time.perf_counter()
    z.save(f"{path}.latents.zspy", overwrite=True, show_progressbar=False)
    end = time.perf_counter()
    return {
        "atoms": len(z.data),
        "seconds": end - start,
        "table": cut - start,
        "learning": learnt - cut,
        "encoding": end - learnt,
        "cpu": time.process_time(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def rates(path: str, window: str, threads: str) -> dict[str, float]:
    """Subimages a second, lazily from disk and in memory, in turn, three times."""
    import dask
    import torch

    torch.set_num_threads(int(threads))
    p = load(path).extract_subimages(int(window))
    model = p.fit_rvae(latent_dim=2, epochs=1, max_subimages=1000, seed=0).model
    memory = p.data.compute()
    found: dict[str, list[float]] = {"lazy": [], "memory": [], "lazy_cpu": [], "memory_cpu": []}
    with dask.config.set(num_workers=int(threads)):
        for _ in range(3):
            for name in ("lazy", "memory"):
                start, cpu = time.perf_counter(), time.process_time()
                p.encode(model).compute() if name == "lazy" else model.transform(memory)
                found[name].append(len(memory) / (time.perf_counter() - start))
                found[f"{name}_cpu"].append(len(memory) / (time.process_time() - cpu))
    return {name: max(values) for name, values in found.items()}


def cluster(path: str, window: str, keep: str) -> dict[str, float]:
    """Seconds to encode with one worker of one thread, and with two."""
    import dask
    from distributed import Client, LocalCluster

    if keep == "True":
        dask.config.set({"distributed.nanny.pre-spawn-environ": KEEP})
    p = load(path).extract_subimages(int(window))
    model = p.fit_rvae(latent_dim=2, epochs=1, max_subimages=1000, seed=0).model
    found: dict[str, list[float]] = {"1": [], "2": []}
    for _ in range(2):
        for count in (1, 2):
            local = LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=":0")
            with local, Client(local) as client:
                p.inav[:2000].encode(model).data.compute()  # imports and compiles
                client.run(lambda: None)
                start = time.perf_counter()
                p.encode(model).data.compute()
                found[str(count)].append(time.perf_counter() - start)
    return {name: min(values) for name, values in found.items()}


def cut(frames: str, xy: str) -> dict[str, float]:
    """Windows of 24 px a second of the processor."""
    from hyperspy_rvae.subimages.stack import cut_block

    movie, places = np.load(frames), np.load(xy)
    counts = np.full(len(movie), len(places))
    where = np.tile(places, (len(movie), 1))
    cut_block(movie[:1], counts[:1], places, 24)  # compiles
    best = 0.0
    for _ in range(3):
        start = time.process_time()
        best = max(best, len(cut_block(movie, counts, where, 24)) / (time.process_time() - start))
    return {"ours": best}


def apart(function: str, *arguments: object) -> dict[str, float]:
    """Run a function of this file in a process of its own."""
    command = [sys.executable, __file__, "--apart", function, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare_frames(folder: Path, given: argparse.Namespace) -> None:
    """Print time and peak for more and more frames, and the share of the disk's limit."""
    for frames in given.frames:
        path = folder / f"{frames}.zspy"
        build(path, frames, given.size, given.atoms)
        once = apart("read", path)
        all_of_it = apart("whole", path, given.window, given.share, given.invariances)
        share = once["seconds"] / (all_of_it["seconds"] - all_of_it["learning"])
        print(f"{frames} frames, {frames * given.size**2 * 4 / 1e9:.3f} GB:", flush=True)
        print(f"  {json.dumps(all_of_it)}\n  reading once {once}; share {share:.3f}", flush=True)
        shutil.rmtree(path)


def compare_cuts(folder: Path, given: argparse.Namespace) -> None:
    """Print windows a second, ours and AtomAI's."""
    rng = np.random.default_rng(0)
    frames, xy = folder / "frames.npy", folder / "xy.npy"
    np.save(frames, rng.random((20, 512, 512), dtype=np.float32))
    np.save(xy, rng.uniform(14, 497, (1700, 2)))
    print(f"sub-pixel, cubic: {apart('cut', frames, xy)['ours']:.0f} windows of 24 px a second")
    if given.peer_python:
        command = [given.peer_python, "-c", PEER, str(frames), str(xy)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"AtomAI's imlocal, whole pixels: {float(done.stdout.split()[-1]):.0f}")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["frames", "large", "cut", "encode", "workers"])
    parser.add_argument("--frames", type=int, nargs="+", default=[10, 100, 1000, 10000])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--atoms", type=int, default=64, help="in a frame")
    parser.add_argument("--window", type=int, default=17)
    parser.add_argument("--share", type=int, default=2000, help="subimages to learn from")
    parser.add_argument("--invariances", default="rotation translation")
    parser.add_argument("--gb", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--keep", action="store_true", help="let workers keep freed memory")
    parser.add_argument("--folder", help="where to put the movies; a temporary one if not given")
    parser.add_argument("--peer-python", help="of an environment with AtomAI")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        if given.what == "frames":
            compare_frames(folder, given)
        elif given.what == "large":
            given.frames = [int(given.gb * 1e9 / (4 * given.size**2))]
            compare_frames(folder, given)
        elif given.what == "cut":
            compare_cuts(folder, given)
        else:
            path = folder / "movie.zspy"
            build(path, given.frames[0], given.size, given.atoms)
            if given.what == "encode":
                print(apart("rates", path, given.window, given.threads))
            else:
                found = apart("cluster", path, given.window, given.keep)
                print(f"{found}; two take {found['2'] / found['1']:.2f} of the time of one")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1] == "--apart":
        tasks = {"read": read, "whole": whole, "rates": rates, "cluster": cluster, "cut": cut}
        print(json.dumps(tasks[sys.argv[2]](*sys.argv[3:])))
    else:
        main()
