"""Conditions come from the table by name, or as arrays, and stay with the latents."""

import dask.array as da
import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from hyperspy_rvae.data import polar_perovskite
from hyperspy_rvae.models.blocks import draw
from hyperspy_rvae.signals import AtomLatents, LazyAtomLatents

OPTIONS = {"latent_dim": 2, "epochs": 1, "seed": 0}


@pytest.fixture
def subimages(lazy):
    image, truth = polar_perovskite((6, 4))
    table = truth.drop(columns=["u", "v"])
    table["tilt"], table["depth"] = np.sin(table["x"]), np.cos(table["y"])
    table["site"] = np.arange(len(table)) % 3
    image.set_atoms(table)
    return (image.as_lazy() if lazy else image).extract_subimages(11)


@pytest.mark.parametrize(
    "condition", ["sublattice", "site", "tilt", ["sublattice"], ["tilt", "depth"]]
)
def test_a_column_by_name_is_found_again(subimages, condition):
    z = subimages.fit_rvae(condition=condition, **OPTIONS)
    assert type(z) is (LazyAtomLatents if subimages._lazy else AtomLatents)
    names = [condition] if isinstance(condition, str) else condition
    assert z.model.condition_.names == tuple(names)
    values = subimages.atoms[names[0] if len(names) == 1 else names]
    direct = z.model.transform(np.asarray(subimages.data), condition=values)
    np.testing.assert_allclose(np.asarray(z.data)[:, :5], direct, atol=1e-5)
    again = subimages.inav[3:11].encode(z.model)
    np.testing.assert_allclose(np.asarray(again.data), np.asarray(z.inav[3:11].data), atol=1e-5)
    assert list(z.atoms) == list(subimages.atoms)


def test_image_to_conditional_latents_in_one_call(lazy):
    image, truth = polar_perovskite((6, 4))
    image.set_atoms(truth.drop(columns=["u", "v"]))
    image = image.as_lazy() if lazy else image
    z = image.fit_rvae(window_size=11, condition="sublattice", **OPTIONS)
    assert z.model.condition_.labels == ("A", "B")
    v = image.fit_vae(window_size=11, condition="sublattice", **OPTIONS)
    assert v.columns[:2] == ["z1", "z2"] and v.model.condition_.labels == ("A", "B")


def test_an_array_becomes_a_column(subimages):
    count = len(subimages.data)
    values = np.linspace(0, 1, count)
    z = subimages.fit_rvae(condition=values, **OPTIONS)
    assert z.model.condition_.names == ("condition",)
    np.testing.assert_allclose(z.to_dataframe()["condition"], values)
    assert "condition" not in subimages.atoms
    with pytest.raises(ValueError, match=r"no column 'condition'.*encode\(model, condition=...\)"):
        subimages.encode(z.model)
    again = subimages.encode(z.model, condition=values)
    np.testing.assert_allclose(np.asarray(again.data), np.asarray(z.data), atol=1e-5)
    two = subimages.fit_rvae(condition=np.stack([values, values**2], 1), **OPTIONS)
    np.testing.assert_allclose(two.atoms["condition_2"], values**2)
    labels = np.where(values > 0.3, "thick", "thin")
    some = subimages.inav[4:40].fit_rvae(condition=labels[4:40], **OPTIONS)
    assert list(some.atoms["condition"]) == list(labels[4:40])


def test_a_series_goes_by_the_atoms_ids(subimages):
    everywhere = subimages.atoms["x"].sample(frac=1, random_state=0)
    subimages = subimages.inav[5:]
    z = subimages.fit_rvae(condition=everywhere, **OPTIONS)
    known = subimages.fit_rvae(condition="x", **OPTIONS)
    np.testing.assert_array_equal(np.asarray(z.data), np.asarray(known.data))
    assert z.model.condition_.names == ("x",)
    by_row = subimages.atoms["x"].set_axis(range(100, 100 + len(subimages.data)))
    z = subimages.fit_rvae(condition=by_row, **OPTIONS)
    np.testing.assert_array_equal(np.asarray(z.data), np.asarray(known.data))


def test_what_differs_from_the_column_of_its_name_has_another(subimages):
    tilt = 2 + 3 * subimages.atoms["tilt"] ** 2
    z = subimages.fit_rvae(condition=tilt, **OPTIONS)
    assert z.model.condition_.names == ("condition",)
    np.testing.assert_allclose(z.atoms["condition"], tilt)
    np.testing.assert_allclose(z.atoms["tilt"], subimages.atoms["tilt"])


def test_a_dask_array_is_no_column(subimages):
    values = np.linspace(0, 1, len(subimages.data))
    lazy = da.from_array(values, chunks=7)
    z = subimages.fit_rvae(condition=lazy, **OPTIONS)
    assert "condition" not in z.atoms and z.model.condition_.names == ()
    truth = subimages.fit_rvae(condition=values, **OPTIONS)
    np.testing.assert_allclose(np.asarray(z.data), np.asarray(truth.data), atol=1e-5)
    with pytest.raises(ValueError, match="1 continuous values a subimage; give it"):
        subimages.encode(z.model)


@pytest.mark.parametrize("extension", ["hspy", "zspy"])
@pytest.mark.parametrize("condition", ["sublattice", "tilt"])
def test_files_keep_the_condition(subimages, tmp_path, extension, condition):
    path = tmp_path / f"z.{extension}"
    z = subimages.fit_rvae(condition=condition, **OPTIONS)
    z.save(path)
    for lazily in (False, True):
        again = hs.load(path, lazy=lazily)
        assert again.model.condition_ == z.model.condition_
        pd.testing.assert_frame_equal(again.to_dataframe(), z.to_dataframe(), check_dtype=False)
        encoded = subimages.encode(again.model)
        np.testing.assert_allclose(np.asarray(encoded.data), np.asarray(z.data), atol=1e-5)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("sublatice", "no column 'sublatice', there are frame, x, y, sublattice"),
        (["tilt", "site?"], "no column 'site\\?'"),
        (["tilt", "sublattice"], "must be of numbers, and 'sublattice' is not"),
        (np.arange(5.0), "one entry for each of the .* subimages, got 5"),
        ("frame", "at least two labels, got 0 only"),
    ],
)
def test_impossible_conditions_are_refused_before_any_window_is_cut(
    subimages, condition, message, monkeypatch
):
    monkeypatch.setattr("hyperspy_rvae.subimages.stack.cut_windows", None)
    with pytest.raises(ValueError, match=message):
        subimages.fit_rvae(condition=condition, **OPTIONS)


def test_a_share_without_a_label_is_refused_before_training(subimages):
    count = len(subimages.data)
    drawn = draw(np.arange(count), 12, seed=1)
    rare = np.where(np.arange(count) % 2, "odd", "even")
    rare[np.setdiff1d(np.arange(count), drawn)[0]] = "rare"
    with pytest.raises(ValueError, match=r"not fitted to: 'rare'.*raise max_subimages"):
        subimages.fit_rvae(condition=rare, max_subimages=12, **(OPTIONS | {"seed": 1}))


def test_a_missing_condition_is_named(subimages):
    z = subimages.fit_rvae(condition="sublattice", **OPTIONS)
    bare = hs.signals.Signal2D(np.asarray(subimages.data))
    bare.set_signal_type("atom_subimages")
    with pytest.raises(ValueError, match="the labels 'A', 'B' of 'sublattice'; give it"):
        bare.encode(z.model)
    labels = subimages.atoms["sublattice"].to_numpy()
    np.testing.assert_allclose(
        np.asarray(bare.encode(z.model, condition=labels).data), np.asarray(z.data), atol=1e-5
    )
    with pytest.raises(ValueError, match="has no table"):
        bare.encode(z.model, condition="sublattice")
    plain = subimages.fit_rvae(**OPTIONS)
    with pytest.raises(ValueError, match="fitted without one"):
        subimages.encode(plain.model, condition="sublattice")


def test_a_manifold_for_each_label_or_value(subimages):
    z = subimages.fit_rvae(condition="sublattice", **OPTIONS)
    axes = z.plot_manifold(size=3)
    titles = [ax.get_title().split("\n")[0] for ax in axes]
    assert titles == ["sublattice: A", "sublattice: B"]
    pictures = [ax.images[0].get_array() for ax in axes]
    assert not np.allclose(*pictures)
    one = z.plot_manifold(size=3, condition="B")
    assert isinstance(one, Axes)
    np.testing.assert_array_equal(one.images[0].get_array(), pictures[1])
    assert z.plot_manifold(size=3, ax=one) is one
    tilts = subimages.fit_rvae(condition="tilt", **OPTIONS).plot_manifold(size=2)
    assert len(tilts) == 3 and all(ax.get_title().startswith("tilt: ") for ax in tilts)
    both = subimages.fit_rvae(condition=["tilt", "depth"], **OPTIONS).plot_manifold(size=2)
    assert isinstance(both, Axes)


def test_latent_space_in_the_colours_of_the_condition(subimages):
    z = subimages.fit_rvae(condition="sublattice", **OPTIONS)
    ax = z.plot_latent_space()
    table = z.to_dataframe()
    names = [ax.get_xlabel(), ax.get_ylabel()]
    np.testing.assert_allclose(ax.collections[0].get_offsets(), table[names])
    assert ax.get_legend().get_title().get_text() == "sublattice"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["A", "B"]
    by_tilt = z.plot_latent_space("tilt", names=("shift_x", "angle"))
    np.testing.assert_allclose(by_tilt.collections[0].get_array(), table["tilt"])
    plain = subimages.fit_rvae(**OPTIONS)
    assert plain.plot_latent_space(ax=by_tilt).get_xlabel() == "z1"
    with pytest.raises(ValueError, match="two latents and at most one column"):
        z.plot_latent_space("site2")


def test_plots_say_which_latents_are_idle(subimages):
    z = subimages.fit_rvae(condition="sublattice", beta=1e4, **OPTIONS)
    assert not np.asarray(z.data)[:, z.columns.index("z1")].any()
    said = "z1, z2 idle: nothing left beside sublattice"
    assert z.plot_latent_space().get_title() == said
    assert z.plot_map("z1").get_title() == "z1 idle: nothing left beside sublattice"
    titles = [ax.get_title() for ax in z.plot_manifold(size=2)]
    assert titles == [f"sublattice: {name}\n{said}" for name in "AB"]
    assert z.plot_map("shift_x").get_title() == ""
