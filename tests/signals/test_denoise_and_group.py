import hyperspy.api as hs
import numpy as np
import pytest
from sklearn.cluster import MeanShift
from sklearn.decomposition import FactorAnalysis, TruncatedSVD
from sklearn.naive_bayes import GaussianNB

from hyperspy_rvae.signals import record

NOISE = 0.15  # px per axis, of a displacement of 0.7 px


def test_the_line_of_the_readme_runs(polar, lazy):
    image, known, side = polar(noise=NOISE, lazy=lazy)
    d = image.displacement_map("B", "A", units="pm")
    grouped = d.denoise("pca").cluster(2, seed=0)
    assert type(grouped) is type(d)
    label = grouped.atoms["cluster"].to_numpy()
    assert max((label == (side > 0)).mean(), (label == (side < 0)).mean()) == 1
    error = np.sqrt(((np.asarray(grouped.data) - known * 20) ** 2).mean())
    assert error < 0.5 * np.sqrt(((np.asarray(d.data) - known * 20) ** 2).mean())
    assert grouped.plot() is not None


def test_lazy_gives_the_numbers_of_eager_and_stays_lazy(polar):
    image, _, _ = polar(noise=NOISE)
    d = image.displacement_map("B", "A")
    late = d.as_lazy()
    for call in (
        lambda s: s.denoise("ica", seed=1),
        lambda s: s.correct("plane"),
        lambda s: s.cluster(2, seed=0),
    ):
        eager, lazily = call(d), call(late)
        assert lazily._lazy and not eager._lazy
        np.testing.assert_allclose(lazily.data.compute(), eager.data)
        assert lazily.atoms.equals(eager.atoms)
    assert late.magnitude().equals(d.magnitude()) and late.angle().equals(d.angle())


@pytest.mark.parametrize("extension", ["hspy", "zspy"])
def test_groups_survive_slices_and_files(polar, tmp_path, extension):
    image, _, _ = polar(noise=NOISE)
    d = image.displacement_map("B", "A").denoise().cluster(2, seed=0).find_domains()
    d.inav[5:90:3].save(tmp_path / f"d.{extension}")
    again = hs.load(tmp_path / f"d.{extension}")
    assert again.atoms.equals(d.atoms.iloc[5:90:3])
    assert again.atoms["cluster"].dtype.kind == "i" and again.atoms["wall"].dtype == bool
    assert again.metadata.Atoms.displacement.denoised.method == "pca"


def test_atoms_without_a_vector_stay_without(polar):
    image, _, _ = polar(noise=NOISE)
    image.set_atoms(image.atoms.drop(index=90))  # a vacancy of A
    d = image.displacement_map("B", "A")
    gaps = np.isnan(d.data).any(1)
    assert gaps.sum() == 4
    out = d.denoise().cluster(2, seed=0)
    np.testing.assert_array_equal(np.isnan(out.data).any(1), gaps)
    np.testing.assert_array_equal(out.atoms["cluster"] == -1, gaps)
    everyone = out.metadata.Atoms.table
    assert len(everyone.columns.column0) == len(image.atoms)  # A is still in the table


def test_frames_and_sublattices_have_their_own_neighbours(lattice_image):
    steps = np.stack(np.meshgrid(np.arange(9), np.arange(8)), -1).reshape(-1, 2) * 16.0 + 20
    rng = np.random.default_rng(0)
    frames = []
    for sign in (1, -1, 1):
        b = steps[:60] + 8 + sign * np.array([0.3, 0.5]) + rng.normal(0, 0.1, (60, 2))
        o = steps[:60] + [8, 0] + sign * np.array([0.0, -0.8]) + rng.normal(0, 0.1, (60, 2))
        frames.append({"A": steps, "B": b, "O": o})
    image = lattice_image(*frames)
    ideal = image.displacement_map("B", "A").to_dataframe()
    both = image.displacement_map(["B", "O"], "A", method="lattice", position=(0.5, 0.5))
    assert set(both.atoms["sublattice"]) == {"B", "O"}
    d = image.displacement_map("B", "A").denoise(components=3)
    table = d.to_dataframe().dropna().groupby("frame")[["u", "v"]].mean()
    np.testing.assert_allclose(table["v"], [0.5, -0.5, 0.5], atol=0.05)
    assert len(ideal) == 180


def test_samples_decompose_in_hyperspy(polar, lazy):
    image, _, _ = polar(noise=NOISE, lazy=lazy)
    samples = image.displacement_map("B", "A").neighbourhoods(radius=1)
    assert samples.data.shape == (192, 18) and type(samples).__name__ == "Signal1D"
    np.testing.assert_allclose(samples.data[:, :2], image.displacement_map("B", "A").data)
    samples.decomposition(print_info=False)
    scree = getattr(samples, "plot_scree_plot", samples.plot_explained_variance_ratio)
    assert scree() is not None
    assert samples.get_decomposition_loadings() is not None


def test_any_scikit_learn_transformer_and_clustering_serves(polar):
    image, known, side = polar(noise=NOISE)
    d = image.displacement_map("B", "A")
    out = d.denoise(TruncatedSVD(6, random_state=0))
    assert np.sqrt(((out.data - known) ** 2).mean()) < 0.5 * NOISE
    assert record.read(out, "displacement")["denoised"]["components"] == {}  # it brings its own
    label = d.cluster(algorithm=MeanShift(), features="vectors").atoms["cluster"].to_numpy()
    assert np.mean((label == 0) == (side > 0)) in (0, 1)
    with pytest.raises(TypeError, match="fit_transform and inverse_transform"):
        d.denoise(FactorAnalysis())


def test_domains_have_their_size_and_vector(polar):
    image, _known, _ = polar(cells=(16, 12))
    grouped = image.displacement_map("B", "A", units="pm").cluster(seed=0)  # finds that it is two
    table = grouped.describe_groups()
    assert table["count"].tolist() == [96, 96] and table["fraction"].tolist() == [0.5, 0.5]
    np.testing.assert_allclose(table["magnitude"], 20 * np.hypot(0.35, 0.6), rtol=1e-6)
    np.testing.assert_allclose(table["area"], 96 * (16 * 0.02) ** 2, rtol=1e-2)
    domains = grouped.find_domains()
    rows = domains.atoms
    assert set(rows["domain"]) == {0, 1} and rows["wall"].sum() == 24
    assert np.abs(rows.loc[rows["wall"], "x"] - (20 + 8 * 16)).max() < 10
    assert domains.describe_groups("domain")["count"].tolist() == [96, 96]


def test_classes_come_from_regions_or_labels(polar):
    image, _, side = polar(noise=NOISE)
    d = image.displacement_map("B", "A")
    left = hs.roi.RectangularROI(0.4, 0.4, 1.6, 3.0)  # nm
    right = hs.roi.CircleROI(4.5, 2.5, 0.9)
    out = d.classify({"left": left, "right": [right]}, seed=0)
    assert (out.atoms["class"] == (side < 0)).mean() > 0.97
    assert out.scores.mean() > 0.95
    np.testing.assert_allclose(out.atoms[["probability_left", "probability_right"]].sum(axis=1), 1)
    assert "left" in [text.get_text().split(":")[0] for text in out.plot().get_legend().texts]
    labels = np.full(len(side), "", dtype="<U5")
    labels[::9] = np.where(side[::9] > 0, "west", "east")
    again = d.classify(labels, estimator=GaussianNB(), radius=1, seed=0)
    assert (again.atoms["class"] == (side > 0)).mean() > 0.97  # east, west: in order
    assert d.scores is None
    texts = np.where(labels == "", None, labels.astype(object))
    assert (
        d.classify(texts, seed=0).atoms["class"].equals(d.classify(labels, seed=0).atoms["class"])
    )


@pytest.mark.parametrize("method", ["nmf", "kernel", "sparse", "incremental", "robust"])
def test_few_atoms_are_denoised_too(polar, method):
    d = polar(cells=(6, 5), noise=NOISE)[0].displacement_map("B", "A")
    assert np.isfinite(d.denoise(method, components=9, seed=0).data).all()


@pytest.mark.parametrize("extension", ["hspy", "zspy"])
@pytest.mark.parametrize("lazily", [False, True])
def test_classes_and_scores_survive_files(polar, tmp_path, extension, lazily):
    d = polar(noise=NOISE)[0].displacement_map("B", "A")
    rois = {"left": hs.roi.CircleROI(1.2, 2.0, 0.8), "right": hs.roi.CircleROI(4.5, 2.5, 0.9)}
    out = d.classify(rois, estimator=GaussianNB(), seed=0)
    out.save(tmp_path / f"c.{extension}")
    again = hs.load(tmp_path / f"c.{extension}", lazy=lazily)
    np.testing.assert_allclose(again.scores, out.scores)
    assert again.atoms.equals(out.atoms)
    named = [text.get_text().split(":")[0] for text in again.plot("class").get_legend().texts]
    assert named == ["left", "right"]
    p = d.polarization({"A": 3.0, "B": 7.0, "O": -10.0}, 64.0)
    p.save(tmp_path / f"p.{extension}")
    assert hs.load(tmp_path / f"p.{extension}", lazy=lazily).units == "µC/cm²"


def test_labels_of_atoms_without_a_vector_are_no_class(polar):
    image, _, side = polar(noise=NOISE)
    image.set_atoms(image.atoms.drop(index=90))
    d = image.displacement_map("B", "A")
    labels = np.where(np.isnan(d.data).any(1), 7, side > 0).astype(int)
    out = d.classify(labels, seed=0)
    assert set(out.atoms["class"]) == {-1, 0, 1} and "probability_7" not in out.atoms


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: d.denoise("svd"), ValueError, "method must be one of"),
        (lambda d: d.denoise(3), TypeError, "scikit-learn transformer"),
        (lambda d: d.denoise(components=50), ValueError, "whole number from 1 to 49"),
        (lambda d: d.denoise(components=1.5), ValueError, "share of the variance"),
        (lambda d: d.denoise(radius=0), ValueError, "radius must be"),
        (lambda d: d.inav[:6].denoise(), ValueError, "6 vectors, and at least 10"),
        (lambda d: d.inav[:32].denoise(components=32), ValueError, "too few for 32 components"),
        (lambda d: d.isig[:1].denoise(), ValueError, "component v was cut off"),
        (lambda d: d.cluster(0), ValueError, "n must be a whole number"),
        (lambda d: d.cluster(2, algorithm="dbscan"), ValueError, "itself, got n=2"),
        (lambda d: d.cluster(2, algorithm="som"), ValueError, "algorithm must be one of"),
        (lambda d: d.cluster(algorithm=GaussianNB()), TypeError, "fit_predict"),
        (lambda d: d.cluster(2, features="angle"), ValueError, "features must be one of"),
        (lambda d: d.inav[:3].cluster(), ValueError, "3 vectors are too few"),
        (lambda d: d.find_domains(), ValueError, "there is none yet"),
        (lambda d: d.describe_groups("x"), ValueError, "no column 'x' of group numbers"),
        (lambda d: d.classify(np.full(192, -1)), ValueError, "labels name no atom"),
        (lambda d: d.classify(np.zeros(5)), ValueError, "one per atom of the axis, 192"),
        (lambda d: d.classify(np.zeros(192)), ValueError, "two classes"),
        (
            lambda d: d.classify({"a": hs.roi.RectangularROI(90, 90, 95, 95)}),
            ValueError,
            "'a' holds no atom",
        ),
        (
            lambda d: d.classify({k: hs.roi.CircleROI(2, 2, 1) for k in "ab"}),
            ValueError,
            "'b' overlaps",
        ),
        (lambda d: d.classify({"a": 3}), TypeError, "RectangularROI"),
        (lambda d: d.classify(np.zeros(192), estimator="forest"), TypeError, "classifier"),
    ],
)
def test_what_cannot_be_done_is_refused(polar, call, error, message):
    d = polar()[0].displacement_map("B", "A")
    with pytest.raises(error, match=message):
        call(d)
