import hyperspy.api as hs
import numpy as np
import pytest

from hyperspy_rvae import cli


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """What the demo writes, with two epochs instead of many."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert cli.main(["demo", "--output", str(folder), "--epochs", "2"]) == 0
    return folder


def test_the_demo_writes_what_it_says(output):
    assert sorted(path.name for path in output.iterdir()) == sorted(cli.FILES)
    for figure in output.glob("*.png"):
        assert figure.stat().st_size > 10_000


def test_the_demo_finds_the_columns_of_both_images(output):
    mos2 = hs.load(output / "mos2_image.hspy")
    assert 1900 < len(mos2.atoms) < 2200
    latents = hs.load(output / "mos2_latents.hspy")
    assert len(latents.model.history_) == 2
    perovskite = hs.load(output / "perovskite_displacements.hspy")
    vectors = perovskite.to_dataframe()[["u", "v"]].dropna()
    assert len(vectors) > 70
    assert np.hypot(*vectors.to_numpy().T).mean() < 30  # pm


def test_nothing_is_overwritten_unless_told_to(output, capsys):
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    assert cli.main(["demo", "--output", str(output)]) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in output.iterdir()} == before


def test_impossible_wishes_are_refused_before_any_work(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("mine")
    assert cli.main(["demo", "--output", str(file)]) == 2
    assert cli.main(["demo", "--output", str(tmp_path / "new"), "--epochs", "0"]) == 2
    assert cli.main(["demo", "--output", str(tmp_path / "new"), "--seed", "-1"]) == 2
    assert "--seed at least 0, got None, -1" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "mine"
