import matplotlib.pyplot as plt
import numpy as np
import pytest


@pytest.fixture
def grouped(polar, lazy):
    image, _, side = polar(noise=0.1, lazy=lazy)
    return image, image.displacement_map("B", "A", units="pm").cluster(2, seed=0), side


def test_arrows_are_coloured_by_group(grouped, tmp_path):
    image, d, _ = grouped
    ax = d.plot(image=image, save=tmp_path / "groups.png")
    label = d.atoms["cluster"]
    assert [
        len(arrows.U) for arrows in ax.collections
    ] == label.value_counts().sort_index().tolist()
    texts = [text.get_text() for text in ax.get_legend().texts]
    assert texts[0].startswith("0: 50%, mean 14 pm")
    assert (tmp_path / "groups.png").stat().st_size > 0
    u, v = d.noise()
    note = f"noise between neighbours: {u:.2g}, {v:.2g} pm"
    drawn = d.plot(plot_style="colormap")  # temul's, as asked for
    assert len(drawn.collections) == 1
    assert note in [text.get_text() for text in drawn.texts]
    assert note in [text.get_text() for text in ax.texts]
    _, own = plt.subplots()
    assert d.find_domains().plot("domain", ax=own) is own


def test_arrows_point_as_displayed(grouped):
    _, d, _side = grouped
    arrows = d.plot().collections[0]
    left = d.atoms["cluster"].iloc[0]
    arrows = d.plot().collections[left]
    assert arrows.axes.yaxis_inverted() and arrows.angles == "xy"
    assert arrows.V.mean() == pytest.approx(-12, abs=0.5)


def test_before_and_after_share_a_scale(grouped):
    image, d, _ = grouped
    left, right = d.plot_comparison(d.denoise(), image=image)
    assert left.collections[0].scale == right.collections[0].scale
    assert left.get_title() == "before"
    wheel = right.child_axes[0]
    mesh = wheel.collections[0]
    # the wheel's colour to the right is that of angle 0, upwards that of pi / 2
    assert mesh.get_array().ravel()[0] == pytest.approx(0, abs=0.02)
    assert mesh.get_array().ravel()[45] == pytest.approx(np.pi / 2, abs=0.03)
    with pytest.raises(ValueError, match="in pm and the others in px"):
        d.plot_comparison(image.displacement_map("B", "A"))


def test_histograms_count_all_vectors(grouped):
    _, d, _ = grouped
    left, right = d.plot_histograms(bins=24)
    assert sum(bar.get_height() for bar in left.patches) == 192
    heights = np.array([bar.get_height() for bar in right.patches])
    angle = np.array([bar.get_x() + bar.get_width() / 2 for bar in right.patches])
    assert heights.sum() == 192 and left.get_xlabel() == "magnitude (pm)"
    # (7, -12) pm is up and right: 60 degrees counter-clockwise
    assert np.rad2deg(angle[angle > 0][heights[angle > 0].argmax()]) == pytest.approx(60, abs=8)


def test_maps_have_units_and_names(grouped):
    _, d, _ = grouped
    for column, label in {
        "u": "u (pm)",
        "magnitude": "magnitude (pm)",
        "angle": "angle (rad)",
    }.items():
        ax = d.plot_map(column)
        assert ax.figure.axes[1].get_ylabel() == label
    low, high = d.plot_map("v").collections[0].get_clim()
    assert low == -high
    texts = [text.get_text() for text in d.plot_map("cluster").get_legend().texts]
    assert texts == ["0", "1"]
    many = d.cluster(12, algorithm="kmeans", features="vectors", seed=0).plot_map("cluster")
    assert "others" in [text.get_text() for text in many.get_legend().texts]
    with pytest.raises(ValueError, match="no column 'w'"):
        d.plot_map("w")
    with pytest.raises(ValueError, match="frame 4 has no atoms"):
        d.plot_map("u", frame=4)


def test_neighbourhoods_are_laid_out(grouped):
    _, d, _ = grouped
    small = d.inav[:90]
    ax = small.plot_tsne("cluster", seed=0)
    assert sum(len(part.get_offsets()) for part in ax.collections) == 90
    assert len(small.plot_tsne(radius=0, seed=0).collections[0].get_offsets()) == 90
    with pytest.raises(ValueError, match="no column 'w'"):
        small.plot_tsne("w")
    with pytest.raises(ValueError, match="too few to lay out"):
        d.inav[:3].plot_tsne()


def test_vectors_of_one_length_or_none_are_drawn(lattice_image):
    steps = np.stack(np.meshgrid(np.arange(7), np.arange(6)), -1).reshape(-1, 2) * 16.0 + 20
    image = lattice_image({"A": steps, "B": steps[:30] + 8.0})
    d = image.displacement_map("B", "A", method="lattice").cluster(1, seed=0)
    assert d.plot() is not None and d.plot_histograms() is not None
