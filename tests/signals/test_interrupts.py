"""Ctrl-C returns promptly and leaves the signal as it was."""

import json
import subprocess
import sys

import hyperspy.api as hs
import numpy as np
import pytest

from hyperspy_rvae.signals import finding

FRAMES = 4
PROMPT = 10.0  # seconds, on a machine that has much else to do


@pytest.fixture
def movie(lazy):
    rows, columns = np.mgrid[:60, :72] / 12.0 - 0.5
    peaks = np.exp(-6 * ((rows - rows.round()) ** 2 + (columns - columns.round()) ** 2))
    noise = np.random.default_rng(0).normal(0, 0.02, (FRAMES, *peaks.shape))
    s = hs.signals.Signal2D(peaks + noise)
    s.set_signal_type("atom_lattice")
    return s.as_lazy(chunks=(1, -1, -1)) if lazy else s


def interrupted_at(call, function):
    """The function, but that Ctrl-C comes at its n-th call."""
    calls = []

    def interrupt(*given, **options):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*given, **options)

    return interrupt


@pytest.mark.parametrize("stopped", ["find_columns", "refine_columns"])
def test_no_table_is_half_made(movie, monkeypatch, stopped):
    movie.find_atoms(separation=8, refine=False)
    before = movie.metadata.deepcopy().as_dictionary()
    with monkeypatch.context() as patch:
        patch.setattr(finding, stopped, interrupted_at(3, getattr(finding, stopped)))
        with pytest.raises(KeyboardInterrupt):
            if stopped == "find_columns":
                movie.find_atoms(separation=7, sublattice="B")
            else:
                movie.refine_atoms()
    np.testing.assert_equal(movie.metadata.as_dictionary(), before)


def test_a_first_search_leaves_no_table(movie, monkeypatch):
    monkeypatch.setattr(finding, "find_columns", interrupted_at(2, finding.find_columns))
    with pytest.raises(KeyboardInterrupt):
        movie.find_atoms(separation=8)
    with pytest.raises(ValueError, match="no atoms yet"):
        movie.atoms  # noqa: B018


SCRIPT = """
import json, os, signal, sys, threading, time
import hyperspy.api as hs
import hyperspy_rvae, numpy as np, pandas as pd

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
hs.preferences.General.show_progressbar = False
rows, columns = np.mgrid[:240, :240] / 12.0 - 0.5
peaks = np.exp(-6 * ((rows - rows.round()) ** 2 + (columns - columns.round()) ** 2))
movie = hs.signals.Signal2D(peaks + np.zeros((800, 1, 1), np.float32)).as_lazy(chunks=(4, -1, -1))
movie.set_signal_type("atom_lattice")
one = movie.inav[:1]
one.find_atoms(separation=8)
one.refine_atoms()
here = one.atoms[["frame", "x", "y", "sublattice"]]
table = pd.concat([here.assign(frame=k) for k in range(800)], ignore_index=True)
movie.set_atoms(table)
cut = movie.extract_subimages(9)
model = cut.inav[:200].fit_rvae(1, epochs=1, seed=0).model
calls = {
    "find": lambda: movie.find_atoms(separation=7, sublattice="B"),
    "refine": lambda: movie.refine_atoms(),
    "extract": lambda: cut.compute(show_progressbar=False),
    "fit": lambda: cut.fit_rvae(1, max_subimages=2000, epochs=10**5, seed=0),
    "encode": lambda: cut.encode(model, output=sys.argv[1]),
}
delays = {}
for name, call in calls.items():
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.2, interrupt)
    timer.start()
    try:
        call()
        delays[name] = "finished"
    except KeyboardInterrupt:
        delays[name] = time.monotonic() - sent[0]
    timer.cancel()
same = movie.atoms.equals(table) and cut._lazy
print(json.dumps({"delays": delays, "same": bool(same)}))
sys.stdout.flush()
os._exit(0)
"""


def test_every_long_call_returns_promptly(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "z.zspy")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    found = json.loads(done.stdout.splitlines()[-1]) if done.stdout else done.stderr
    assert found["same"]
    assert set(found["delays"]) == {"find", "refine", "extract", "fit", "encode"}
    late = {
        name: delay
        for name, delay in found["delays"].items()
        if delay == "finished" or delay > PROMPT
    }
    assert not late
