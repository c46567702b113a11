"""Scripted analysis: the console command ``hyperspy-rvae``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

FILES = (
    "mos2_atoms.png",
    "mos2_angle.png",
    "mos2_z1.png",
    "mos2_z2.png",
    "mos2_manifold.png",
    "mos2_image.hspy",
    "mos2_latents.hspy",
    "perovskite_atoms.png",
    "perovskite_displacements.png",
    "perovskite_image.hspy",
    "perovskite_displacements.hspy",
)
MOS2_WINDOW = 33


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if all went well, 2 if it was refused."""
    parser = argparse.ArgumentParser(prog="hyperspy-rvae", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "demo",
        help="take two real images to a latent map and a displacement map",
        description="Take the MoS2 image that temul-toolkit ships to maps of an rVAE's latents, "
        "and the perovskite that atomap ships to a displacement map.",
    )
    command.add_argument(
        "--output",
        type=Path,
        default=Path("hyperspy_rvae_demo"),
        help="folder for figures and .hspy files (default: ./hyperspy_rvae_demo)",
    )
    command.add_argument(
        "--overwrite", action="store_true", help="replace what an earlier run wrote there"
    )
    command.add_argument(
        "--epochs", type=int, help="epochs of training (default: as many as the data ask for)"
    )
    command.add_argument(
        "--seed", type=int, default=0, help="seed of the training (default: %(default)s)"
    )
    given = parser.parse_args(arguments)
    return demo(given.output, overwrite=given.overwrite, epochs=given.epochs, seed=given.seed)


def demo(output: Path, *, overwrite: bool = False, epochs: int | None = None, seed: int = 0) -> int:
    """Take two real images from file to maps.

    Parameters
    ----------
    output
        Folder for figures and .hspy files; made if it is not there.
    overwrite
        Whether files of an earlier run are replaced.
    epochs
        Epochs of training; as many as the data ask for if not given.
    seed
        Seed of the training.

    Returns
    -------
    status
        0, or 2 where `output` holds files of an earlier run and `overwrite` is not set.
    """
    if output.exists() and not output.is_dir():
        return _refuse(f"{output} is a file; name a folder with --output.")
    there = [name for name in FILES if (output / name).exists()]
    if there and not overwrite:
        return _refuse(
            f"{output} already holds {', '.join(there)}; add --overwrite or name another --output."
        )
    if (epochs is not None and epochs < 1) or seed < 0:
        return _refuse(f"--epochs must be at least 1 and --seed at least 0, got {epochs}, {seed}.")
    os.environ.setdefault("MPLBACKEND", "Agg")
    output.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    summary = [*_latent_maps(output, epochs, seed), *_displacement_map(output)]
    print("\n".join(["", *summary]))
    print(
        f"\nFigures and .hspy files are in {output.resolve()} "
        f"({time.perf_counter() - start:.0f} s)."
    )
    return 0


def _latent_maps(output: Path, epochs: int | None, seed: int) -> list[str]:
    from hyperspy_rvae import data

    image = data.mos2()
    _step("MoS2: finding and refining atoms", lambda: image.find_atoms(show_progressbar=True))
    latents = _step(
        "MoS2: fitting an rVAE",
        lambda: image.fit_rvae(
            window_size=MOS2_WINDOW, epochs=epochs, seed=seed, show_progressbar=True
        ),
    )
    _save_figure(image.plot_atoms(), output / "mos2_atoms.png")
    for column in ("angle", "z1", "z2"):
        _save_figure(latents.plot_map(column, image=image), output / f"mos2_{column}.png")
    _save_figure(latents.plot_manifold(), output / "mos2_manifold.png")
    _save(image, output / "mos2_image.hspy")
    _save(latents, output / "mos2_latents.hspy")
    last = latents.model.history_[-1]
    return [
        f"MoS2: {len(image.atoms)} atoms found, {len(latents.atoms)} with a whole window of "
        f"{MOS2_WINDOW} px;",
        f"  rVAE of latents {', '.join(latents.model.latent_names_)} after "
        f"{len(latents.model.history_)} epochs: loss {last['loss']:.1f}, noise variance "
        f"{latents.model.noise_variance_:.3g}.",
        "  angles around these columns are known up to 120 degrees, after which they look alike;",
        "  mos2_atoms, mos2_angle, mos2_z1, mos2_z2, mos2_manifold (.png), mos2_image, "
        "mos2_latents (.hspy)",
    ]


def _displacement_map(output: Path) -> list[str]:
    from hyperspy_rvae import data

    image = data.perovskite()
    _step("Perovskite: finding and refining A", lambda: image.find_atoms(show_progressbar=True))
    _step(
        "Perovskite: finding and refining B",
        lambda: image.find_sublattice("B", position=(0.5, 0), show_progressbar=True),
    )
    displacements = image.displacement_map("B", "A", units="pm")
    _save_figure(image.plot_atoms(), output / "perovskite_atoms.png")
    _save_figure(displacements.plot(image=image), output / "perovskite_displacements.png")
    _save(image, output / "perovskite_image.hspy")
    _save(displacements, output / "perovskite_displacements.hspy")
    counts = image.atoms["sublattice"].value_counts()
    vectors = displacements.to_dataframe()[["u", "v"]].dropna()
    length = (vectors**2).sum(axis=1) ** 0.5
    return [
        f"Perovskite: {counts['A']} A and {counts['B']} B columns, {len(vectors)} "
        "displacements of B from the centre of A;",
        f"  mean vector ({vectors['u'].mean():+.1f}, {vectors['v'].mean():+.1f}) pm (right, down), "
        f"mean length {length.mean():.1f} pm.",
        "  perovskite_atoms, perovskite_displacements (.png), perovskite_image, "
        "perovskite_displacements (.hspy)",
    ]


def _step(what: str, work: Callable[[], object]) -> object:
    print(what, flush=True)
    start = time.perf_counter()
    result = work()
    print(f"  {time.perf_counter() - start:.1f} s", flush=True)
    return result


def _save(signal: object, path: Path) -> None:
    signal.save(path, overwrite=True)


def _save_figure(ax: object, path: Path) -> None:
    ax.figure.savefig(path, dpi=150)


def _refuse(why: str) -> int:
    print(f"hyperspy-rvae: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
