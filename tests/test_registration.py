from pathlib import Path

import hyperspy.api as hs
import numpy as np
import pytest
import yaml

import hyperspy_rvae
from hyperspy_rvae import signals

TYPES = {
    "atom_lattice": ("AtomLatticeImage", 2),
    "atom_subimages": ("AtomSubimages", 2),
    "atom_latents": ("AtomLatents", 1),
    "atom_displacements": ("AtomDisplacements", 1),
    "atom_properties": ("AtomProperties", 1),
}


@pytest.mark.parametrize("signal_type", TYPES)
def test_type_alias_and_lazy_twin(signal_type):
    name, dimension = TYPES[signal_type]
    for spelling in (signal_type, name):
        s = hs.signals.BaseSignal(np.zeros((3, 4, 5))).transpose(signal_axes=dimension)
        s.set_signal_type(spelling)
        assert type(s) is getattr(signals, name)
        twin = s.as_lazy()
        assert type(twin) is getattr(signals, f"Lazy{name}")
        twin.compute()
        assert type(twin) is getattr(signals, name)
        assert s.metadata.Signal.signal_type == signal_type


def test_every_registered_class_is_where_the_registry_says():
    packaged = Path(hyperspy_rvae.__file__).with_name("hyperspy_extension.yaml")
    registry = yaml.safe_load(packaged.read_text())["signals"]
    assert len(registry) == 2 * len(TYPES)
    for name, entry in registry.items():
        cls = getattr(signals, name)
        assert cls._signal_type == entry["signal_type"]
        assert cls._signal_dimension == entry["signal_dimension"]
        assert cls._lazy == entry["lazy"]
        assert cls._alias_signal_types == entry["signal_type_aliases"]


def test_top_level_yaml_is_the_packaged_one():
    top = Path(__file__).parents[1] / "hyperspy_extension.yaml"
    packaged = Path(hyperspy_rvae.__file__).with_name("hyperspy_extension.yaml")
    if not top.exists() or top.read_text().strip() == "hyperspy_rvae/hyperspy_extension.yaml":
        pytest.skip("checkout without symlinks")
    assert yaml.safe_load(top.read_text()) == yaml.safe_load(packaged.read_text())
