import re

import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.models import RVAE
from hyperspy_rvae.models.checkpoint import Checkpoint
from hyperspy_rvae.signals import AtomLatents, LazyAtomLatents

SIZE = 9
COUNT = 60


def lobes(angles, size=SIZE, seed=0):
    """Two unequal blobs either side of the middle, turned counter-clockwise as displayed."""
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    x, y = np.cos(angles)[:, None, None], -np.sin(angles)[:, None, None]
    near = np.exp(-((columns - 2 * x) ** 2 + (rows - 2 * y) ** 2) / 3)
    far = 0.4 * np.exp(-((columns + 2 * x) ** 2 + (rows + 2 * y) ** 2) / 3)
    return near + far + np.random.default_rng(seed).normal(0, 0.03, near.shape)


@pytest.fixture(scope="module")
def angles():
    return np.random.default_rng(1).uniform(-np.pi, np.pi, COUNT)


@pytest.fixture
def subimages(angles, lazy):
    """Sixty windows of known angle, cut from a movie of two frames with thirty atoms each."""
    movie = np.zeros((2, 5 * 12, 6 * 12))
    places = np.stack(np.meshgrid(np.arange(6), np.arange(5)), -1).reshape(-1, 2) * 12 + 5
    for number, window in enumerate(lobes(angles)):
        x, y = places[number % 30]
        movie[number // 30, y - 4 : y + 5, x - 4 : x + 5] = window
    s = hs.signals.Signal2D(movie)
    s.set_signal_type("atom_lattice")
    s.set_atoms({0: places.astype(float), 1: places.astype(float)})
    return (s.as_lazy() if lazy else s).extract_subimages(SIZE)


@pytest.fixture(scope="module")
def model(angles):
    return RVAE(latent_dim=1, epochs=60, seed=0).fit(lobes(angles).astype(np.float32))


def test_latents_of_atoms_are_those_of_the_model(subimages, model):
    z = subimages.encode(model)
    assert type(z) is (LazyAtomLatents if subimages._lazy else AtomLatents)
    assert z.columns == [
        "angle",
        "shift_x",
        "shift_y",
        "z1",
        "angle_std",
        "shift_x_std",
        "shift_y_std",
        "z1_std",
    ]
    values, std = model.transform(np.asarray(subimages.data), return_std=True)
    np.testing.assert_allclose(np.asarray(z.data), np.hstack([values, std]), rtol=1e-4, atol=1e-5)
    assert list(z.atoms.index) == list(range(COUNT))


def test_angles_come_back_in_the_table(subimages, model, angles):
    table = subimages.encode(model).to_dataframe()
    off = np.angle(np.exp(1j * (table["angle"].to_numpy() - angles)))
    origin = np.angle(np.exp(1j * off).mean())
    assert np.median(np.abs(np.angle(np.exp(1j * (off - origin))))) < np.deg2rad(8)
    assert list(table["frame"]) == [0] * 30 + [1] * 30


def test_fit_gives_one_latents_signal_with_its_model_inside(subimages):
    z = subimages.fit_rvae(latent_dim=1, epochs=2, seed=3)
    again = subimages.fit_rvae(latent_dim=1, epochs=2, seed=3)
    np.testing.assert_array_equal(np.asarray(z.data), np.asarray(again.data))
    assert len(z.model.history_) == 2
    np.testing.assert_allclose(
        z.model.transform(np.asarray(subimages.data)),
        np.asarray(z.data)[:, :4],
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_vae_has_no_pose(subimages):
    z = subimages.fit_vae(latent_dim=2, epochs=2, seed=3)
    assert z.columns == ["z1", "z2", "z1_std", "z2_std"]


def test_training_on_a_share_encodes_all(subimages):
    z = subimages.fit_rvae(latent_dim=1, epochs=1, seed=3, max_subimages=20)
    assert z.data.shape == (COUNT, 8)
    whole = subimages.fit_rvae(latent_dim=1, epochs=1, seed=3)
    assert not np.allclose(np.asarray(z.data), np.asarray(whole.data))


def test_image_to_latents_in_one_call(lazy):
    rng = np.random.default_rng(0)
    s = hs.signals.Signal2D(rng.random((50, 70)))
    s.set_signal_type("atom_lattice")
    s.set_atoms(np.stack(np.meshgrid(np.arange(5), np.arange(4)), -1).reshape(-1, 2) * 10.0 + 10)
    s = s.as_lazy() if lazy else s
    z = s.fit_rvae(window_size=7, latent_dim=1, epochs=1, seed=0)
    apart = s.extract_subimages(7).fit_rvae(latent_dim=1, epochs=1, seed=0)
    np.testing.assert_array_equal(np.asarray(z.data), np.asarray(apart.data))
    v = s.fit_vae(window_size=7, latent_dim=1, epochs=1, seed=0)
    assert v.columns == ["z1", "z1_std"]


def test_subimages_without_a_table_can_be_fitted(angles):
    p = hs.signals.Signal2D(lobes(angles))
    p.set_signal_type("atom_subimages")
    z = p.fit_rvae(latent_dim=1, epochs=1, seed=0)
    assert z.data.shape == (COUNT, 8)
    with pytest.raises(ValueError, match="no table of atoms"):
        z.to_dataframe()


@pytest.mark.parametrize("extension", ["hspy", "zspy"])
def test_files_keep_latents_table_and_model(subimages, model, tmp_path, extension):
    path = tmp_path / f"z.{extension}"
    z = subimages.encode(model).inav[4:40:3]
    z.save(path)
    for lazily in (False, True):
        again = hs.load(path, lazy=lazily)
        assert type(again).__name__ == f"{'Lazy' if lazily else ''}AtomLatents"
        pd.testing.assert_frame_equal(again.to_dataframe(), z.to_dataframe(), check_dtype=False)
        windows = np.asarray(subimages.data)
        np.testing.assert_array_equal(again.model.transform(windows), model.transform(windows))
        assert again.isig[1:3].columns == ["shift_x", "shift_y"]


@pytest.mark.parametrize("extension", ["hspy", "zspy"])
def test_files_keep_subimages_and_their_table(subimages, tmp_path, extension):
    path = tmp_path / f"p.{extension}"
    subimages.save(path)
    for lazily in (False, True):
        again = hs.load(path, lazy=lazily)
        assert type(again).__name__ == f"{'Lazy' if lazily else ''}AtomSubimages"
        np.testing.assert_array_equal(np.asarray(again.data), np.asarray(subimages.data))
        pd.testing.assert_frame_equal(again.atoms, subimages.atoms, check_dtype=False)


def test_model_and_table_survive_copies(subimages, model):
    z = subimages.encode(model)
    windows = np.asarray(subimages.data)
    for copied in (z.deepcopy(), z.as_lazy(), z + 0.0, z.inav[2:9]):
        np.testing.assert_array_equal(copied.model.transform(windows), model.transform(windows))
        assert len(copied.atoms) == copied.data.shape[0]


def test_weights_that_do_not_fit_their_configuration_are_refused(subimages, model):
    z = subimages.encode(model)
    name = next(iter(model.weights()))
    z.metadata.Atoms.model.weights.as_dictionary()
    z.metadata.set_item(
        "Atoms.model", {"configuration": model.configuration(), "weights": {name: np.zeros(3)}}
    )
    with pytest.raises(ValueError, match="weights"):
        z.model  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"latent_dim": 0}, ValueError, "latent_dim"),
        ({"max_subimages": 0}, ValueError, "max_subimages must be a whole number"),
        ({"max_subimages": 9}, ValueError, "at least 10, got 9"),
        ({"max_subimages": 20, "seed": -3}, ValueError, "seed must be"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"device": "tpu"}, ValueError, "device"),
        ({"invariances": ("rotatoin",)}, ValueError, "rotatoin"),
        ({"epoch": 3}, TypeError, "epoch"),
    ],
)
def test_impossible_fits_are_refused_before_any_window_is_cut(
    subimages, arguments, error, message, monkeypatch
):
    monkeypatch.setattr("hyperspy_rvae.subimages.stack.cut_windows", None)
    with pytest.raises(error, match=message):
        subimages.fit_rvae(**arguments)


def test_too_few_subimages_are_refused(subimages):
    with pytest.raises(ValueError, match="at least 10 subimages are needed to learn from, got 9"):
        subimages.inav[:9].fit_rvae()


def test_models_of_another_window_or_kind_are_refused(subimages, model):
    with pytest.raises(ValueError, match="8 x 9 pixels and the model was fitted to 9 x 9"):
        subimages.isig[1:, :].encode(model)
    with pytest.raises(TypeError, match=r"fitted hyperspy_rvae.models.RVAE, got str"):
        subimages.encode("model")
    with pytest.raises(ValueError, match="no model"):
        latents = hs.signals.Signal1D(np.zeros((4, 2)))
        latents.set_signal_type("atom_latents")
        latents.model  # noqa: B018


def test_progress_is_shown_when_asked(subimages, capsys):
    subimages.fit_rvae(latent_dim=1, epochs=2, seed=0, show_progressbar=True)
    assert "training" in capsys.readouterr().err


@pytest.mark.parametrize("seed", [3, None])
def test_a_training_that_was_stopped_goes_on(subimages, tmp_path, monkeypatch, capsys, seed):
    options = {"latent_dim": 1, "epochs": 5, "max_subimages": 20, "seed": seed}
    path, keep, kept = tmp_path / "training.pt", Checkpoint.keep, []

    def stop(self, parts, now=False):
        keep(self, parts, True)
        kept.append(1)
        if len(kept) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "keep", stop)
        with pytest.raises(KeyboardInterrupt):
            subimages.fit_rvae(**options, checkpoint=path)
    z = subimages.fit_rvae(**options, checkpoint=path, show_progressbar=True)
    assert re.search(r"training: 100%.* 5/5 ", capsys.readouterr().err)
    whole = subimages.fit_rvae(**options | {"seed": z.model.seed_})
    np.testing.assert_array_equal(np.asarray(z.data), np.asarray(whole.data))
    assert z.model.history_ == whole.model.history_
    with pytest.raises(ValueError, match=r"these differ: invariances .*, latent_dim"):
        subimages.fit_vae(**options | {"latent_dim": 2}, checkpoint=path)


def test_nothing_is_cut_or_encoded_before_it_is_asked_for(model, monkeypatch):
    pixels = np.random.default_rng(0).random((2, 30, 40))
    s = hs.signals.Signal2D(pixels).as_lazy()
    s.set_signal_type("atom_lattice")
    s.set_atoms({k: np.array([[10.0, 12.0], [20.5, 12.0]]) for k in range(2)})
    monkeypatch.setattr("hyperspy_rvae.subimages.stack.cut_windows", None)
    z = s.extract_subimages(SIZE).encode(model)
    assert z._lazy and z.data.shape == (4, 8)


def test_sums_over_atoms_or_latents_are_nobodys(subimages, model):
    z = subimages.encode(model)
    for summed in (subimages.rebin(scale=(2, 1, 1)), subimages.rebin(scale=(3, 1, 1))):
        with pytest.raises(ValueError, match="summed"):
            summed.atoms  # noqa: B018
    for factor in (2, 3):
        with pytest.raises(ValueError, match="summed"):
            z.rebin(scale=(factor, 1)).atoms  # noqa: B018
    with pytest.raises(ValueError, match="summed"):
        z.rebin(scale=(1, 2)).columns  # noqa: B018
    binned = subimages.rebin(scale=(1, 3, 3))
    pd.testing.assert_frame_equal(binned.atoms, subimages.atoms)


def test_latents_stand_in_for_columns_of_their_name(subimages, model):
    z = subimages.encode(model)
    again = subimages.deepcopy()
    s = hs.signals.Signal2D(np.zeros((2, 60, 72)))
    s.set_signal_type("atom_lattice")
    s.set_atoms(z.to_dataframe().assign(angle=99.0))
    table = s.extract_subimages(SIZE).encode(model).to_dataframe()
    assert table.columns.is_unique and (table["angle"] != 99).all()
    assert "angle" not in again.atoms


@pytest.mark.parametrize(
    "spoil",
    [
        {"Atoms": "text"},
        {"Atoms.model": "text"},
        {"Atoms.model": {"configuration": "{}", "weights": "text"}},
        {"Atoms.model": {"configuration": 7, "weights": {"a": np.zeros(2)}}},
        {"Atoms.latents": 7},
        {"Atoms.latents": ["angle"]},
        {"Atoms.table": "text"},
        {"Atoms.table": {"names": ["x", "y"]}},
        {"Atoms.axes": np.zeros(3)},
    ],
    ids=str,
)
def test_foreign_metadata_gives_errors_that_say_so(subimages, model, spoil):
    z = subimages.encode(model)
    for path, value in spoil.items():
        z.metadata.set_item(path, value)
    with pytest.raises(ValueError, match=r".{20}"):
        z.model, z.columns, z.atoms, z.plot_map("z1")


def test_every_pose_and_prior_through_the_door(subimages, tmp_path):
    z = subimages.fit_rvae(
        1,
        invariances=("scale", "translation", "rotation"),
        rotation_prior=0.3,
        translation_prior=0.5,
        rotation_symmetry="auto",
        epochs=2,
        seed=3,
    )
    names = ["angle", "shift_x", "shift_y", "scale", "z1"]
    assert z.columns == [*names, *(f"{name}_std" for name in names)]
    assert (z.to_dataframe()["scale"] > 0).all()
    z.save(tmp_path / "z.zspy")
    again = hs.load(tmp_path / "z.zspy", lazy=z._lazy)
    assert again.model.get_params() == z.model.get_params()
    orders = again.symmetry()
    np.testing.assert_array_equal(orders.index, z.atoms.index)
    np.testing.assert_array_equal(orders, z.model.symmetry(np.asarray(z.data)[:, :5]))
    bound = again.plot_map("angle").collections[0].get_clim()[1]
    assert bound == pytest.approx(np.pi / np.bincount(orders).argmax())
    assert again.plot_map("scale").figure.axes[1].get_ylabel() == "scale"
    assert again.plot_manifold(size=2).images[0].get_array().std() > 0
    with pytest.raises(ValueError, match="the latents scale, z1 were cut off"):
        z.isig[:3].symmetry()


def test_a_given_symmetry_colours_the_map(subimages):
    z = subimages.fit_rvae(1, rotation_symmetry=2, epochs=1, seed=3)
    assert np.abs(z.to_dataframe()["angle"]).max() <= np.pi / 2 + 1e-6
    assert z.plot_map("angle").collections[0].get_clim() == (-np.pi / 2, np.pi / 2)
    assert z.plot_map("angle", symmetry=1).collections[0].get_clim() == (-np.pi, np.pi)
