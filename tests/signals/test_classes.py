"""Classes come with the latents: as columns, by their names, in plots and in files."""

import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from hyperspy_rvae.data import polar_perovskite
from hyperspy_rvae.models.blocks import draw
from hyperspy_rvae.signals import AtomLatents, LazyAtomLatents

OPTIONS = {"latent_dim": 2, "epochs": 2, "seed": 0}
COLUMNS = ["angle", "shift_x", "shift_y", "z1", "z2", "class", "class_probability"]


@pytest.fixture
def subimages(lazy):
    image, truth = polar_perovskite((6, 4))
    table = truth.drop(columns=["u", "v"])
    table["site"] = np.where(np.arange(len(table)) % 3, "", table["sublattice"])
    table["none"] = ""
    image.set_atoms(table)
    return (image.as_lazy() if lazy else image).extract_subimages(11)


def test_labels_by_the_name_of_a_column(subimages):
    z = subimages.fit_rvae(labels="site", **OPTIONS)
    assert type(z) is (LazyAtomLatents if subimages._lazy else AtomLatents)
    assert z.columns == [*COLUMNS, *(f"{name}_std" for name in COLUMNS[:5])]
    assert z.model.discrete_classes == 2
    np.testing.assert_array_equal(z.model.classes_, ["A", "B"])
    table = z.to_dataframe()
    values = z.model.transform(np.asarray(subimages.data))
    assert list(table["class"]) == list(z.model.classes_[values[:, 5].astype(int)])
    np.testing.assert_allclose(table["class_probability"], values[:, 6], atol=1e-5)
    again = subimages.inav[3:11].encode(z.model)
    np.testing.assert_allclose(np.asarray(again.data), np.asarray(z.inav[3:11].data), atol=1e-5)


def test_labels_as_an_array_become_a_column(subimages):
    labels = np.where(np.arange(len(subimages.data)) % 4, -1, np.arange(len(subimages.data)) % 8)
    z = subimages.fit_rvae(labels=labels, **OPTIONS)
    np.testing.assert_array_equal(z.atoms["label"], labels)
    assert set(z.to_dataframe()["class"]) <= {0, 4}
    assert "label" not in subimages.atoms


def test_labels_go_by_the_atoms_ids(subimages):
    site = subimages.atoms["site"]
    z = subimages.fit_rvae(labels="site", **OPTIONS)
    again = subimages.fit_rvae(labels=site.sample(frac=1, random_state=0), **OPTIONS)
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(z.data))
    some = subimages.atoms["sublattice"].where(site != "", None)
    again = subimages.fit_rvae(labels=some, **OPTIONS)
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(z.data))
    assert list(again.atoms["label"].replace("", None)) == list(some)
    assert again.atoms["sublattice"].equals(subimages.atoms["sublattice"])


def test_classes_without_labels(subimages):
    z = subimages.fit_vae(discrete_classes=3, **OPTIONS)
    assert z.columns[:4] == ["z1", "z2", "class", "class_probability"]
    assert set(z.to_dataframe()["class"]) <= {0, 1, 2}


@pytest.mark.parametrize("extension", ["hspy", "zspy"])
@pytest.mark.parametrize("told", [{"labels": "site"}, {"discrete_classes": 2}], ids=str)
def test_files_keep_the_classes(subimages, tmp_path, extension, told):
    path = tmp_path / f"z.{extension}"
    z = subimages.fit_rvae(**told, **OPTIONS)
    z.save(path)
    for lazily in (False, True):
        again = hs.load(path, lazy=lazily)
        pd.testing.assert_frame_equal(again.to_dataframe(), z.to_dataframe(), check_dtype=False)
        np.testing.assert_array_equal(again.model.classes_, z.model.classes_)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": "sites"}, "labels must be a column .* no column 'sites'"),
        ({"labels": np.arange(5)}, "labels must have one entry for each of the .*, got 5"),
        ({"labels": "frame"}, "labels must be of at least two kinds, got 0 only"),
        ({"labels": "none"}, "labels must be of at least two kinds, got none; leave them out"),
        ({"labels": "site", "discrete_classes": 0}, "labels are given and discrete_classes is 0"),
        (
            {"labels": "site", "discrete_classes": 3},
            "labels has 2 labels, 'A', 'B', and discrete_classes is 3",
        ),
        ({"discrete_classes": 2, "decoder": "spatial"}, "needs decoder='steerable'"),
    ],
)
def test_impossible_labels_are_refused_before_any_window_is_cut(
    subimages, arguments, message, monkeypatch
):
    monkeypatch.setattr("hyperspy_rvae.subimages.stack.cut_windows", None)
    with pytest.raises(ValueError, match=message):
        subimages.fit_rvae(**arguments, **OPTIONS)


def test_a_share_without_a_label_is_refused_before_training(subimages):
    count = len(subimages.data)
    drawn = draw(np.arange(count), 12, seed=0)
    rare = np.where(np.arange(count) % 2, "odd", "even")
    rare[np.setdiff1d(np.arange(count), drawn)[0]] = "rare"
    with pytest.raises(ValueError, match=r"those to learn from, labels has 2 .* max_subimages"):
        subimages.fit_rvae(labels=rare, max_subimages=12, **OPTIONS)


def test_plots_show_the_classes_by_name(subimages):
    z = subimages.fit_rvae(labels="site", condition="x", **OPTIONS)
    axes = z.plot_manifold(size=2)
    assert [ax.get_title().split("\n")[0] for ax in axes] == ["class: A", "class: B"]
    assert isinstance(z.plot_manifold(size=2, ax=axes[0]), Axes)
    known = sorted(set(z.to_dataframe()["class"]))
    for ax in (z.plot_map("class"), z.plot_latent_space()):
        assert [text.get_text() for text in ax.get_legend().get_texts()] == known
    sure = z.plot_map("class_probability").collections[0]
    np.testing.assert_allclose(sure.get_array(), np.asarray(z.data)[:, 6])


def test_atoms_without_a_label_are_grey(subimages):
    table = subimages.atoms
    table["number"] = np.select([table["site"] == "A", table["site"] == "B"], [0, 11], -1)
    z = subimages.fit_rvae(labels="site", **OPTIONS)
    for column, names in (("site", ["A", "B"]), ("label", ["0", "11"])):
        if column == "label":
            z = subimages.fit_rvae(labels=table["number"].to_numpy(), **OPTIONS)
        ax = z.plot_map(column)
        assert [text.get_text() for text in ax.get_legend().get_texts()] == [*names, "none"]
        drawn = ax.collections[0]
        drawn.update_scalarmappable()
        for site, colour in (("A", "tab:blue"), ("B", "tab:orange"), ("", "0.6")):
            here = drawn.get_facecolors()[(table["site"] == site).to_numpy()]
            np.testing.assert_allclose(here, np.tile(to_rgba(colour), (len(here), 1)))
