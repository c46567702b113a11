"""
Polarization and mis-tilt as latents
====================================

A synthetic ferroelectric: its B columns are displaced in four directions, one a domain, and the
foil is bent, so that columns are drawn out more and more towards one side. A VAE that knows of
shifts and of the sublattice tells the two apart: its shift is the polarization, and what is left
for its content is the mis-tilt.
"""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import KDTree
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from hyperspy_rvae.data import ferroelectric

hs.preferences.General.show_progressbar = False
s, truth = ferroelectric((24, 18), seed=0)
s.find_atoms()
s.find_sublattice("B", reference="A")
s.plot_atoms()

# %%
# A window is cut at each column's place in the lattice of the A columns, and not at the column. So
# what is displaced lies off the middle of its window. Windows of 11 px show one column each.
d = s.displacement_map("B", "A").to_dataframe()
sites = s.atoms
sites.loc[d.index, ["x", "y"]] -= d[["u", "v"]].to_numpy()
s.set_atoms(sites.dropna(subset=["x", "y"]))

# %%
# A and B columns differ far more than domains do. Given the sublattice as a condition, the model
# need not spend a latent on it. The crystal is in one orientation: of the two invariances, only
# that to translation is wanted. One content latent is left for whatever else there is.
z = s.fit_rvae(11, latent_dim=1, condition="sublattice", invariances=("translation",), seed=0)
z.plot_manifold(size=7)

# %%
# The shift follows the displacement, column by column and through the walls. Its origin is the
# model's own, so both are drawn about their means.
found = z.to_dataframe()
found = found[found["sublattice"] == "B"]
places = found[["x", "y"]].to_numpy()
known = truth[truth["sublattice"] == "B"]
known = known.iloc[KDTree(known[["ideal_x", "ideal_y"]]).query(places)[1]].set_index(found.index)


def draw(ax, values, title, bar=True, **options):
    """Map of one value an atom."""
    drawn = ax.scatter(*places.T, c=values, s=30, marker="s", **options)
    ax.set(title=title, aspect="equal", xticks=[], yticks=[])
    ax.invert_yaxis()
    if bar:
        ax.figure.colorbar(drawn, ax=ax)


figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
for row, component, shift in zip(axes, ("u", "v"), ("shift_x", "shift_y"), strict=True):
    for ax, values, name in zip(row, (known, found), (component, shift), strict=True):
        about = values[name] - values[name].mean()
        draw(ax, about, f"{name} (px)", cmap="RdBu_r", vmin=-1.2, vmax=1.2)
    r = np.corrcoef(found[shift], known[component])[0, 1]
    print(f"r of {shift} with the true {component}: {r:.2f}")

# %%
# The content is the mis-tilt, up to its sign. Where columns are drawn out, light ones also seem to
# be displaced against heavy ones: that is why the shift grows towards one side within a domain.
tilt = np.hypot(known["tilt_x"], known["tilt_y"])
r = np.corrcoef(found["z1"], tilt)[0, 1]
print(f"r of z1 with the mis-tilt: {r:.2f}")
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
draw(axes[0], tilt, "true mis-tilt (mrad)")
draw(axes[1], np.sign(r) * found["z1"], "z1" if r > 0 else "−z1")

# %%
# A Gaussian mixture of principal components of the same windows finds domains, too, as groups that
# have no measure; in the components, displacement and mis-tilt mix.
windows = s.extract_subimages(11, "B").data.reshape(len(found), -1)
components = PCA(5, random_state=0).fit_transform(windows)
groups = GaussianMixture(4, n_init=5, random_state=0).fit_predict(components)
figure, axes = plt.subplots(1, 3, figsize=(13, 3), layout="constrained")
draw(axes[0], known["domain"], "true domain", bar=False, cmap="tab10", vmax=9)
draw(axes[1], groups, "group", bar=False, cmap="tab10", vmax=9)
draw(axes[2], components[:, 0], "first component")
