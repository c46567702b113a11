"""Subimages of several images in register: one model of all."""

import hyperspy.api as hs
import numpy as np
import pytest

from hyperspy_rvae.signals import AtomLatents, AtomSubimages, LazyAtomLatents, LazyAtomSubimages
from hyperspy_rvae.signals.fitting import windows_of
from hyperspy_rvae.subimages import stack


@pytest.fixture
def pair(movie, lazy):
    """Three frames and a second detector's, which shows twice the negative of the first's."""
    other = hs.signals.Signal2D(np.asarray(movie.data) * -2.0)
    other.metadata.General.title = "ABF"
    movie.metadata.General.title = "HAADF"
    xy = np.stack(np.meshgrid(np.arange(4), np.arange(3)), -1).reshape(-1, 2) * 10.3 + 8
    movie.set_atoms({f: xy for f in range(3)})
    return movie, other.as_lazy() if lazy else other


def test_channels_are_windows_of_the_same_places(pair, lazy):
    first, second = pair
    p = first.extract_subimages(7, channels=[second])
    assert type(p) is (LazyAtomSubimages if lazy else AtomSubimages)
    assert p.axes_manager.navigation_shape == (2, 36) and p.axes_manager.signal_shape == (7, 7)
    alone = first.extract_subimages(7)
    np.testing.assert_allclose(p.inav[0].data, alone.data)
    np.testing.assert_allclose(p.inav[1].data, -2 * np.asarray(alone.data), atol=1e-5)
    assert p.atoms.equals(alone.atoms) and p.inav[1].atoms.equals(alone.atoms)
    assert list(p.inav[:, 4:9:2].atoms.index) == [4, 6, 8]
    if lazy:
        assert p.data.chunks[0] == alone.data.chunks[0] and p.data.chunks[1] == (2,)


def test_a_lazy_image_with_one_in_memory(pair, lazy):
    first, second = pair
    if lazy:
        second.compute()
    p = first.extract_subimages(7, channels=[second])
    assert p._lazy is lazy
    np.testing.assert_allclose(
        np.asarray(p.inav[1].data), -2 * np.asarray(p.inav[0].data), atol=1e-5
    )


def test_only_the_windows_of_a_share_are_cut(pair, lazy, monkeypatch):
    first, second = pair
    p = first.extract_subimages(7, channels=[second])
    expected, rows = np.asarray(p.data), np.array([0, 7, 30])
    cut, cut_windows = [], stack.cut_windows

    def note(movie, xy, *given):
        cut.append(len(xy))
        return cut_windows(movie, xy, *given)

    monkeypatch.setattr(stack, "cut_windows", note)
    taken = np.asarray(stack.take(windows_of(p), rows))
    np.testing.assert_array_equal(taken, expected[rows])
    assert sum(cut) == (2 * len(rows) if lazy else 0)


def test_one_model_of_all(pair, lazy, tmp_path):
    first, second = pair
    z = first.fit_rvae(7, channels=[second], latent_dim=1, epochs=2, seed=0, n_models=2)
    assert type(z) is (LazyAtomLatents if lazy else AtomLatents)
    assert z.data.shape == (36, 8) and z.model.n_channels_ == 2 and len(z.model.models_) == 2
    p = first.extract_subimages(7, channels=[second])
    np.testing.assert_allclose(
        z.data, np.hstack(z.model.transform(np.asarray(p.data), True)), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(p.encode(z.model).data, z.data, rtol=1e-4, atol=1e-4)
    written = p.encode(z.model, output=tmp_path / "written.zspy")
    np.testing.assert_allclose(written.data, z.data, rtol=1e-4, atol=1e-4)
    for p_like in (p, hs.stack([p.inav[0], p.inav[1]], new_axis_name="channel")):
        np.testing.assert_allclose(p_like.encode(z.model).data, z.data, rtol=1e-4, atol=1e-4)
    z.save(tmp_path / "z.hspy")
    p.save(tmp_path / "p.hspy")
    z, p = hs.load(tmp_path / "z.hspy", lazy=lazy), hs.load(tmp_path / "p.hspy", lazy=lazy)
    np.testing.assert_allclose(p.encode(z.model).data, z.data, rtol=1e-4, atol=1e-4)
    assert list(z.atoms.index) == list(p.atoms.index) == list(range(36))


def test_the_manifold_shows_every_channel(pair):
    first, second = pair
    z = first.fit_rvae(7, channels=[second], latent_dim=2, epochs=1, seed=0)
    axes = z.plot_manifold(size=3)
    assert [ax.get_title() for ax in axes] == ["HAADF", "ABF"]
    decoded = z.model.inverse_transform(np.zeros((1, 5)))
    assert decoded.shape == (1, 2, 7, 7)
    for ax in axes:
        assert ax.images[0].get_array().shape == (21, 21)
    one = z.plot_manifold(size=3, ax=axes[0].figure.add_subplot())
    assert one.get_title() == "HAADF"


def test_what_does_not_fit_is_refused(pair):
    first, second = pair
    with pytest.raises(
        TypeError, match=r"list of images in register, got .*Signal2D; give .*\[image\]"
    ):
        first.extract_subimages(7, channels=second)
    with pytest.raises(
        ValueError, match=r"got an image of shape \(2, 40, 60\) for one of \(3, 40, 60\)"
    ):
        first.extract_subimages(7, channels=[second.inav[:2]])
    with pytest.raises(TypeError, match="HyperSpy signal is needed"):
        first.extract_subimages(7, channels=[np.zeros((3, 40, 60))])
    p = first.extract_subimages(7, channels=[second])
    model = p.fit_rvae(latent_dim=1, epochs=1, seed=0).model
    with pytest.raises(ValueError, match="have 1 channels and the model was fitted to 2"):
        p.inav[0].encode(model)
    with pytest.raises(ValueError, match=r"take atoms with .* inav\[:, k : k \+ 1\]"):
        p.inav[:, 3].fit_rvae()


def test_other_ways_of_hyperspy(pair):
    first, second = pair
    p = first.extract_subimages(7, channels=[second])
    for other in (p.deepcopy(), p.as_lazy(), p.inav[:, 2:20]):
        assert len(other.atoms) in (36, 18)
    p.plot()
    with pytest.raises(ValueError, match="summed by rebin"):
        _ = p.rebin(scale=(1, 2, 1, 1)).atoms
