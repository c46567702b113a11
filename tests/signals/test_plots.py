"""What is drawn is where it belongs; nothing is written to disk."""

import hyperspy.api as hs
import numpy as np
import pytest
from matplotlib.axes import Axes
from scipy.spatial import KDTree

from hyperspy_rvae.data import polar_perovskite
from hyperspy_rvae.models import RVAE


@pytest.fixture
def known(lazy):
    image, truth = polar_perovskite((6, 4))
    image.set_atoms(truth.drop(columns=["u", "v"]))
    return image.as_lazy() if lazy else image


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    return RVAE(latent_dim=2, epochs=1, seed=0).fit(rng.random((30, 11, 11)))


@pytest.fixture
def latents(known, model):
    return known.extract_subimages(11).encode(model)


@pytest.fixture(autouse=True)
def nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())


def test_markers_lie_on_the_atoms_of_each_frame(movie):
    ax = movie.plot_atoms()
    assert isinstance(ax, Axes)
    marker = next(iter(movie._plot.signal_plot.ax_markers))
    for frame in range(3):
        movie.axes_manager.indices = (frame,)
        drawn = marker.get_current_kwargs()["offsets"]
        here = movie.atoms[movie.atoms["frame"] == frame]
        np.testing.assert_allclose(drawn, here[["x", "y"]].to_numpy() * (0.1, 0.2) + (3.0, 0.0))


def test_sublattices_have_a_marker_each(known):
    known.plot_atoms()
    names = {marker.name for marker in known._plot.signal_plot.ax_markers}
    assert len(names) == 2
    assert "Markers" not in known.metadata


@pytest.mark.parametrize("column", ["angle", "shift_x", "z1", "z1_std", "x"])
def test_maps_show_each_atom_at_its_place(latents, known, column):
    for image in (None, known, np.asarray(known.data)):
        ax = latents.plot_map(column, image=image)
        table = latents.to_dataframe()
        drawn = ax.collections[0]
        np.testing.assert_allclose(drawn.get_offsets(), table[["x", "y"]])
        np.testing.assert_allclose(drawn.get_array(), table[column], rtol=1e-6)
        low, high = ax.get_ylim()
        assert low > high  # y is down
        label = ax.figure.axes[1].get_ylabel()
        assert label.startswith(column)


def test_angles_have_cyclic_colours_over_the_circle(latents):
    drawn = latents.plot_map("angle").collections[0]
    assert drawn.get_clim() == (-np.pi, np.pi)
    np.testing.assert_allclose(drawn.cmap(0.0), drawn.cmap(1.0), atol=0.02)


@pytest.mark.parametrize("symmetry", [2, 3])
def test_angles_modulo_a_symmetry(latents, symmetry):
    drawn = latents.plot_map("angle", symmetry=symmetry).collections[0]
    shown, angle = drawn.get_array(), latents.to_dataframe()["angle"].to_numpy()
    whole = (shown - angle) * symmetry / (2 * np.pi)
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-5)
    assert np.abs(shown).max() <= np.pi / symmetry + 1e-6
    assert drawn.get_clim() == (-np.pi / symmetry, np.pi / symmetry)


@pytest.mark.parametrize("symmetry", [0, -1, 1.5, "auto"])
def test_a_symmetry_has_a_whole_order(latents, symmetry):
    with pytest.raises(ValueError, match="symmetry must be a whole number from 1 on"):
        latents.plot_map("angle", symmetry=symmetry)


def test_labels_have_a_legend(latents):
    ax = latents.plot_map("sublattice")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["A", "B"]


def test_calibrated_images_get_a_scale_bar(latents, known):
    assert len(latents.plot_map("z1").artists) == 1
    known.axes_manager.signal_axes.set(units="")
    model = latents.model
    assert len(known.extract_subimages(11).encode(model).plot_map("z1").artists) == 0


def test_what_cannot_be_mapped_is_refused(latents):
    with pytest.raises(ValueError, match="no column 'z9'; there are frame, x, y, sublattice"):
        latents.plot_map("z9")
    with pytest.raises(ValueError, match="frame 4 has no atoms; there are frames 0 to 0"):
        latents.plot_map("z1", frame=4)


def test_images_of_another_crop_are_refused(latents, known):
    with pytest.raises(ValueError, match="give the image that they were cut from"):
        latents.plot_map("z1", image=known.isig[5:, :])
    with pytest.raises(ValueError, match="give the image that they were cut from"):
        known.displacement_map("B", "A").plot(image=np.zeros(7))


def test_truth_values_are_labels(known, model):
    table = known.atoms
    known.set_atoms(table.assign(inner=table["x"] > 60))
    ax = known.extract_subimages(11).encode(model).plot_map("inner")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["False", "True"]


def test_the_manifold_shows_what_the_model_decodes(latents):
    ax = latents.plot_manifold(size=3)
    picture = ax.images[0].get_array()
    assert picture.shape == (33, 33)
    table = latents.to_dataframe()
    corner = [0, 0, 0, table["z1"].quantile(0.01), table["z2"].quantile(0.99)]
    np.testing.assert_allclose(
        picture[:11, :11], latents.model.inverse_transform(np.array([corner]))[0], atol=1e-4
    )
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z1", "z2")
    with pytest.raises(ValueError, match="size must be"):
        latents.plot_manifold(size=1)


def test_one_content_latent_gives_one_row(known):
    p = known.extract_subimages(11)
    ax = p.fit_vae(latent_dim=1, epochs=1, seed=0).plot_manifold(size=4)
    assert ax.images[0].get_array().shape == (11, 44)


@pytest.mark.parametrize(
    "style", ["colormap", "vector", "contour", "colorwheel", "polar_colorwheel"]
)
def test_arrows_point_where_the_atoms_went(known, style):
    d = known.displacement_map("B", "A", units="pm")
    ax = d.plot(image=known, plot_style=style)
    assert isinstance(ax, Axes)
    arrows = next(c for c in ax.collections if hasattr(c, "U"))
    x, y, u, v = d.to_temul()
    np.testing.assert_allclose(arrows.XY, np.stack([x, y], 1))
    np.testing.assert_allclose(np.stack([arrows.U, arrows.V], 1), np.stack([u, v], 1))
    step = np.median(KDTree(d.to_dataframe()[["x", "y"]]).query(np.stack([x, y], 1), k=2)[0][:, 1])
    assert np.quantile(np.hypot(u, v), 0.95) / arrows.scale == pytest.approx(step)
    low, high = ax.get_ylim()
    assert low > high


def test_arrows_have_units_and_need_no_image(known):
    ax = known.displacement_map("B", "A", units="pm").plot()
    assert "pm" in ax.figure.axes[1].get_ylabel()
    assert not ax.images
    with pytest.raises(ValueError, match="frame 2 has no displacements"):
        known.displacement_map("B", "A").plot(frame=2)


def test_a_figure_is_saved_when_asked(known, tmp_path):
    path = tmp_path / "arrows.png"
    known.displacement_map("B", "A").plot(save=path)
    assert path.stat().st_size > 1000
    path.unlink()


def test_movies_are_mapped_frame_by_frame(lazy):
    movie = hs.signals.Signal2D(np.random.default_rng(0).random((3, 30, 40)))
    movie.set_signal_type("atom_lattice")
    movie.set_atoms({k: np.random.default_rng(k).uniform(8, 20, (11, 2)) for k in range(3)})
    movie = movie.as_lazy() if lazy else movie
    z = movie.fit_rvae(window_size=7, latent_dim=1, epochs=1, seed=0)
    ax = z.plot_map("z1", frame=2, image=movie)
    np.testing.assert_allclose(ax.images[0].get_array(), np.asarray(movie.data)[2])
    assert len(ax.collections[0].get_offsets()) == 11
