import hyperspy.api as hs
import numpy as np
import pytest


def test_means_of_parts_agree_with_temul(polar, lazy):
    from temul.topotem.polarisation import get_average_polarisation_in_regions

    image, _, _ = polar(noise=0.1, lazy=lazy)
    d = image.displacement_map("B", "A")
    ours = d.average_in_regions(4)
    pixels = np.zeros(image.data.shape)
    _, _, u, v = get_average_polarisation_in_regions(*d.to_temul(), pixels, divide_into=4)
    theirs = np.transpose([u, v]).reshape(4, 4, 2).transpose(1, 0, 2).reshape(16, 2)
    assert ours["count"].sum() == 192
    # temul cuts the remainder of the division off, so single atoms may change sides
    assert np.abs(ours[["u", "v"]].to_numpy() - theirs).max() < 0.15
    assert (np.abs(ours[["u", "v"]].to_numpy() - theirs).max(1) < 1e-9).mean() > 0.4


def test_regions_are_numbers_rois_or_rois_by_name(polar):
    image, _known, _side = polar(noise=0.05, offset=(1.0, -2.0))
    d = image.displacement_map("B", "A", units="pm")
    wide = d.average_in_regions((2, 1))
    np.testing.assert_allclose(wide["v"], [-12, 12], atol=0.5)
    rois = {
        "left": hs.roi.RectangularROI(1, -2, 1 + 2.9, 5),
        "right": hs.roi.CircleROI(1 + 4.4, -2 + 2.3, 1.0),
        "corner": hs.roi.PolygonROI([(1, -2), (3, -2), (1, 0)]),
    }
    named = d.average_in_regions(rois)
    assert list(named.index) == ["left", "right", "corner"]
    np.testing.assert_allclose(named["u"], [7, -7, 7], atol=0.8)
    rows = d.to_dataframe()
    x, y = rows["x"] * 0.02, rows["y"] * 0.02
    assert named.loc["corner", "count"] == (x + y < 2).sum()
    assert named.loc["right", "count"] == (np.hypot(x - 4.4, y - 2.3) <= 1).sum()
    left = rows[rows["x"] * 0.02 < 2.9]
    assert named.loc["left", "u_sem"] == pytest.approx(left["u"].sem())
    assert d.average_in_regions(rois["left"])["count"].tolist() == [named.loc["left", "count"]]


def test_a_profile_crosses_the_wall(polar):
    image, _, _ = polar(noise=0.02)
    d = image.displacement_map("B", "A", units="pm")
    line = hs.roi.Line2DROI(0.4, 2.3, 5.6, 2.3, linewidth=1.5)
    profile = d.line_profile(line)
    rows = d.atoms["y"] * 0.02
    assert profile["count"].sum() == (np.abs(rows - 2.3) <= 0.75).sum() > 60
    wall = (20 + 8 * 16) * 0.02 - 0.4
    np.testing.assert_allclose(profile["v"], np.where(profile.index < wall, -12, 12), atol=0.8)
    np.testing.assert_allclose(profile["along"], profile["u"])
    np.testing.assert_allclose(profile["across"], -profile["v"])  # counter-clockwise is up
    down = d.line_profile(hs.roi.Line2DROI(1.0, 0.4, 1.0, 4.0, linewidth=0.5), step=0.32)
    np.testing.assert_allclose(down["along"], down["v"])
    np.testing.assert_allclose(down["across"], down["u"])
    e = image.strain_map("A").line_profile(line)
    assert "exx_sem" in e and "along" not in e


def test_a_map_is_regular_calibrated_and_no_longer_one_of_atoms(polar, tmp_path):
    image, _, _side = polar(pixel=(0.02, 0.03), offset=(1.0, 2.0))
    d = image.displacement_map("B", "A", units="pm").cluster(2, seed=0)
    maps = d.to_image(step=4)
    assert type(maps).__name__ == "Signal2D" and maps.data.shape[0] == 2
    x = maps.axes_manager.signal_axes[0]
    assert (x.scale, x.offset, x.units) == (0.08, 1.0, "nm")
    left = maps.isig[2.0:3.0, 4.0:5.0].data
    np.testing.assert_allclose(left[0], 7.0, atol=1e-6)
    assert np.isnan(maps.data[0, 0, 0])
    one = d.to_image("cluster")
    assert one.data.shape == image.data.shape
    length = d.to_image("magnitude").isig[2.0:3.0, 4.0:5.0].data
    np.testing.assert_allclose(length, np.hypot(7.0, 18.0), atol=1e-6)
    maps.save(tmp_path / "map.hspy")
    assert not maps.metadata.has_item("Atoms")
    assert image.strain_map("A").to_image("exx").data.shape == image.data.shape


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: d.average_in_regions(0), ValueError, "number of parts"),
        (lambda d: d.average_in_regions((2, 3, 4)), ValueError, "number of parts"),
        (lambda d: d.average_in_regions("left"), TypeError, "RectangularROI"),
        (lambda d: d.average_in_regions(hs.roi.PolygonROI()), ValueError, "three vertices"),
        (lambda d: d.average_in_regions(hs.roi.CircleROI(99, 9, 1)), ValueError, "no region"),
        (lambda d: d.average_in_regions(4, frame=3), ValueError, "frame 3 has no atoms"),
        (lambda d: d.line_profile(hs.roi.CircleROI(1, 1, 1)), TypeError, "Line2DROI"),
        (lambda d: d.line_profile(hs.roi.Line2DROI(1, 1, 1, 1, 1)), ValueError, "no length"),
        (lambda d: d.line_profile(hs.roi.Line2DROI(0, 50, 1, 50, 1)), ValueError, "wider"),
        (lambda d: d.line_profile(hs.roi.Line2DROI(0, 0, 9, 9, 1), step=0), ValueError, "step"),
        (lambda d: d.to_image("sublattice"), ValueError, "must name numbers"),
        (lambda d: d.to_image("w"), ValueError, "must name numbers"),
        (lambda d: d.to_image(step=0), ValueError, "step must be"),
        (lambda d: d.inav[:3].to_image(), ValueError, "has 3 atoms"),
    ],
)
def test_what_is_no_region_is_refused(polar, call, error, message):
    with pytest.raises(error, match=message):
        call(polar()[0].displacement_map("B", "A"))
