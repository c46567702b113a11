"""A training that was stopped ends as one that was not."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from hyperspy_rvae.models import RVAE, checkpoint

OPTIONS = {"latent_dim": 2, "epochs": 9, "patience": 3, "batch_size": 6, "seed": 4}


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "_LEAST_WAIT", 0)


@pytest.fixture
def options(decoder):
    return OPTIONS | {"decoder": decoder}


@pytest.fixture(scope="module")
def whole(windows, decoder):
    """A model of a training that nothing stopped."""
    return RVAE(**OPTIONS, decoder=decoder).fit(windows)


def assert_same(model, whole):
    assert model.history_ == whole.history_
    weights = whole.weights()
    for name, value in model.weights().items():
        np.testing.assert_array_equal(value, weights[name], err_msg=name)


def stop_in(epoch):
    def callback(number, record):
        if number == epoch:
            raise KeyboardInterrupt

    return callback


KILLED = """
import os, signal, sys
import numpy as np, torch
from hyperspy_rvae.models import RVAE, checkpoint

torch.set_num_threads(1)
checkpoint._LEAST_WAIT = 0

def kill(epoch, record):
    if epoch == 5:
        os.kill(os.getpid(), signal.SIGKILL)

RVAE(**{options}).fit(np.load({data!r}), checkpoint={path!r}, callback=kill)
"""


def test_a_killed_process_loses_nothing(windows, whole, options, tmp_path):
    data, path = tmp_path / "windows.npy", tmp_path / "training.pt"
    np.save(data, windows)
    code = KILLED.format(options=options, data=str(data), path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    seen = []
    model = RVAE(**options).fit(
        windows, checkpoint=path, callback=lambda epoch, _: seen.append(epoch)
    )
    assert seen == list(range(5, len(whole.history_)))
    assert_same(model, whole)


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_stopped_after_any_epoch(windows, whole, options, tmp_path, epoch):
    path = tmp_path / "training.pt"
    with pytest.raises(KeyboardInterrupt):
        RVAE(**options).fit(windows, checkpoint=path, callback=stop_in(epoch))
    assert path.exists() == (epoch > 0)
    assert_same(RVAE(**options).fit(windows, checkpoint=path), whole)


def test_stopped_twice(windows, whole, options, tmp_path):
    path = tmp_path / "training.pt"
    for epoch in (2, 6):
        with pytest.raises(KeyboardInterrupt):
            RVAE(**options).fit(windows, checkpoint=path, callback=stop_in(epoch))
    assert_same(RVAE(**options).fit(windows, checkpoint=path), whole)


@pytest.mark.filterwarnings("ignore:.*of what the subimages show:UserWarning")
def test_stopped_while_the_plateau_rule_decides(windows, decoder, tmp_path, monkeypatch):
    monkeypatch.setattr("hyperspy_rvae.models.course._LONGEST_STEPS", 60)
    monkeypatch.setattr("hyperspy_rvae.models.course._PATIENT_STEPS", 9)
    model = RVAE(1, decoder=decoder, batch_size=8, learning_rate=1e-4, seed=0)
    whole = model.fit(windows)
    total = len(whole.history_)
    expected, history = whole.weights(), whole.history_
    for epoch in (1, total // 2, total - 2):
        path = tmp_path / f"{epoch}.pt"
        with pytest.raises(KeyboardInterrupt):
            model.fit(windows, checkpoint=path, callback=stop_in(epoch))
        model.fit(windows, checkpoint=path)
        assert model.history_ == history
        for name, value in model.weights().items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_at_the_end_the_file_gives_the_model_at_once(windows, whole, options, tmp_path):
    path = tmp_path / "training.pt"
    assert_same(RVAE(**options).fit(windows, checkpoint=path), whole)
    assert [file.name for file in tmp_path.iterdir()] == ["training.pt"]
    seen = []
    again = RVAE(**options).fit(windows, checkpoint=path, callback=lambda *_: seen.append(1))
    assert not seen
    assert_same(again, whole)


def test_conditions_and_schedules_go_on(windows, options, tmp_path):
    options = options | {"kl_warmup": 5, "rotation_prior": 0.7, "free_bits": 0.1}
    path, kinds = tmp_path / "training.pt", np.arange(len(windows)) % 3
    whole = RVAE(**options).fit(windows, condition=kinds)
    with pytest.raises(KeyboardInterrupt):
        RVAE(**options).fit(windows, condition=kinds, checkpoint=path, callback=stop_in(3))
    with pytest.raises(ValueError, match=r"differ: condition \("):
        RVAE(**options).fit(windows, condition=kinds[::-1].copy(), checkpoint=path)
    assert_same(RVAE(**options).fit(windows, condition=kinds, checkpoint=path), whole)


def test_a_drawn_seed_is_kept(windows, options, tmp_path):
    path = tmp_path / "training.pt"
    options = options | {"seed": None}
    with pytest.raises(KeyboardInterrupt):
        RVAE(**options).fit(windows, checkpoint=path, callback=stop_in(4))
    model = RVAE(**options).fit(windows, checkpoint=path)
    assert model.seed is None
    assert_same(model, RVAE(**options | {"seed": model.seed_}).fit(windows))


def test_it_is_read_without_running_code(windows, options, tmp_path):
    path = tmp_path / "training.pt"
    RVAE(**options).fit(windows, checkpoint=path)
    found = torch.load(path, weights_only=True)
    assert found["training"]["latent_dim"] == 2
    assert set(found["state"]) >= {"network", "course", "optimiser", "generator"}


def test_it_is_written_as_seldom_as_it_is_dear(windows, options, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_LEAST_WAIT", 1e9)
    written = []
    monkeypatch.setattr(checkpoint.torch_files, "write", lambda *_: written.append(1))
    RVAE(**options).fit(windows, checkpoint=tmp_path / "training.pt")
    assert len(written) == 2  # the first epoch and the last


@pytest.fixture
def stopped(windows, options, tmp_path):
    """A checkpoint of three epochs."""
    path = tmp_path / "training.pt"
    with pytest.raises(KeyboardInterrupt):
        RVAE(**options).fit(windows, checkpoint=path, callback=stop_in(3))
    return path


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"latent_dim": 1}, r"latent_dim \(there 2, here 1\)"),
        ({"epochs": 10, "beta": 0.5}, r"beta \(there 1.0, here 0.5\), epochs \(there 9, here 10\)"),
        ({"invariances": ("rotation",)}, r"invariances \(there \['rotation', 'translation'\]"),
        ({"seed": 5}, r"seed \(there 4, here 5\)"),
    ],
)
def test_other_parameters_are_refused(windows, options, stopped, other, says):
    before = stopped.read_bytes()
    with pytest.raises(ValueError, match=f"of another training; these differ: {says}"):
        RVAE(**options | other).fit(windows, checkpoint=stopped)
    assert stopped.read_bytes() == before


def test_other_subimages_are_refused(windows, options, stopped):
    changed = windows.copy()
    changed[7, 3, 3] += 1e-3
    with pytest.raises(ValueError, match=r"differ: subimages \("):
        RVAE(**options).fit(changed, checkpoint=stopped)
    with pytest.raises(ValueError, match=r"differ: window \(there \[7, 9\], here \[9, 7\]\)"):
        RVAE(**options).fit(windows.reshape(-1, 9, 7), checkpoint=stopped)


def test_another_version_is_refused(windows, options, stopped, monkeypatch):
    monkeypatch.setattr("hyperspy_rvae.__version__", "99")
    with pytest.raises(ValueError, match=r"hyperspy_rvae \(there '.+', here '99'\)"):
        RVAE(**options).fit(windows, checkpoint=stopped)


def test_files_that_are_no_checkpoint_are_refused_and_left(windows, options, whole, tmp_path):
    path = tmp_path / "model.pt"
    whole.save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="must be a checkpoint, and it holds something else"):
        RVAE(**options).fit(windows, checkpoint=path)
    assert path.read_bytes() == before
    path.write_text("precious")
    with pytest.raises(ValueError, match="must be a checkpoint"):
        RVAE(**options).fit(windows, checkpoint=path)
    assert path.read_text() == "precious"


def test_paths_are_checked_before_any_work(windows, options, tmp_path):
    with pytest.raises(FileNotFoundError, match="the folder of checkpoint="):
        RVAE(**options).fit(windows, checkpoint=tmp_path / "none" / "training.pt")
    with pytest.raises(IsADirectoryError, match="must be a file"):
        RVAE(**options).fit(windows, checkpoint=tmp_path)
    with pytest.raises(TypeError, match="must be the path of a file, got 3"):
        RVAE(**options).fit(windows, checkpoint=3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.pop("optimiser"),
        lambda state: state["network"].popitem(),
        lambda state: state["course"].pop("best"),
        lambda state: state["course"].update(last="9"),
        lambda state: state.update(generator=torch.zeros(3)),
        lambda state: state.update(optimiser={}),
        lambda state: state["optimiser"]["state"][0].update(exp_avg=torch.zeros(3)),
    ],
)
def test_a_damaged_state_is_refused(windows, options, stopped, spoil):
    found = torch.load(stopped, weights_only=True)
    spoil(found["state"])
    torch.save(found, stopped)
    with pytest.raises(ValueError, match="is damaged"):
        RVAE(**options).fit(windows, checkpoint=stopped)


def test_a_cut_checkpoint_is_refused(windows, options, stopped):
    stopped.write_bytes(stopped.read_bytes()[:-500])
    with pytest.raises(ValueError, match="must be a checkpoint, and it can't be read"):
        RVAE(**options).fit(windows, checkpoint=stopped)


def test_a_full_disk_leaves_the_last_checkpoint(windows, whole, options, stopped, monkeypatch):
    before, save = stopped.read_bytes(), torch.save

    def fill(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(OSError, match="No space left"):
        RVAE(**options).fit(windows, checkpoint=stopped)
    assert stopped.read_bytes() == before
    assert [file.name for file in stopped.parent.iterdir()] == ["training.pt"]
    monkeypatch.setattr(torch, "save", save)
    assert_same(RVAE(**options).fit(windows, checkpoint=stopped), whole)
