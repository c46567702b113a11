"""
Polarization and mis-tilt: eight models side by side
====================================================

A synthetic ferroelectric: its B columns are displaced in four directions, one a domain, and the
foil is bent, so that columns are drawn out more and more towards one side. Which latent tells which
of the two depends on the poses that a model knows of, and on whether it is told the sublattice.
"""

from itertools import product

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
p = s.extract_subimages(11)

# %%
# The models know of no pose, of rotation (r), of translation (t), or of both; with C the sublattice
# is a condition. Each has two content latents besides.
poses = {"VAE": (), "rVAE": ("rotation",), "tVAE": ("translation",)}
poses["trVAE"] = ("rotation", "translation")
found = {}
for (mark, condition), name in product((("", None), ("C-", "sublattice")), poses):
    z = p.fit_rvae(invariances=poses[name], condition=condition, epochs=60, seed=0)
    table = z.to_dataframe()
    found[mark + name] = table[table["sublattice"] == "B"]
places = table.loc[table["sublattice"] == "B", ["x", "y"]].to_numpy()

# %%
# What is true of each B column: its displacement, u right and v down, the direction of it,
# counter-clockwise from the right, and how far the column is tilted.
known = truth[truth["sublattice"] == "B"]
known = known.iloc[KDTree(known[["ideal_x", "ideal_y"]]).query(places)[1]].copy()
known["angle"] = np.arctan2(-known["v"], known["u"])
known["tilt"] = np.hypot(known["tilt_x"], known["tilt_y"])
same = {"shift_x": "u", "shift_y": "v", "angle": "angle", "z1": "tilt", "z2": "tilt"}


def agree(name, values):
    """Values in the conventions of what is true, and how far they agree with it."""
    true = known[same[name]].to_numpy()
    if name == "angle":
        mean = np.exp(1j * (values - true)).mean()
        return np.rad2deg(np.angle(np.exp(1j * values) / mean)), abs(mean)
    r = np.corrcoef(values, true)[0, 1] if np.ptp(values) else 0
    return (values - values.mean()) * (np.sign(r) if name[0] == "z" else 1), abs(r)


def draw(ax, values, cmap, low, high, size=22):
    """Map of one value a B column."""
    drawn = ax.scatter(*places.T, size, values, cmap=cmap, vmin=low, vmax=high, marker="s", lw=0)
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.invert_yaxis()
    return drawn


# %%
# Shifts and content are drawn about their means, and the angle is turned to agree with the
# direction of the displacement on average, since their origins are each model's own. The sign of
# content is a convention, too, and is chosen to rise with the mis-tilt. Below each map: the size of
# r with the displacement or the mis-tilt; of angles, the length of the mean direction from that of
# (u, v). A content latent that has nothing to say is idle.
scale = {"shift_x": ("RdBu_r", -1.1, 1.1), "angle": ("twilight_shifted", -180, 180)}
scale |= {"shift_y": scale["shift_x"], "z1": ("PuOr_r", -1.2, 1.2), "z2": ("PuOr_r", -1.2, 1.2)}
figure, axes = plt.subplots(9, 5, figsize=(8.5, 13), layout="constrained")
for name, title, ax in zip("uv", ("u (px)", "v (px)"), axes[0, :2], strict=True):
    draw(ax, known[name], *scale["shift_x"])
    ax.set_title(title)
draw(axes[0, 2], np.rad2deg(known["angle"]), *scale["angle"])
axes[0, 2].set_title("direction of (u, v)")
draw(axes[0, 3], known["tilt"], "PuOr_r", 0, 6)
axes[0, 3].set_title("mis-tilt, 0–6 mrad")
draw(axes[0, 4], known["domain"], "Set2", 0, 7)
axes[0, 4].set_title("domain")
drawn = {}
for row, table in zip(axes[1:], found.values(), strict=True):
    for ax, name in zip(row, same, strict=True):
        if name in table:
            values, agreement = agree(name, table[name].to_numpy())
            drawn[name] = draw(ax, values, *scale[name])
            ax.set_xlabel(f"{agreement:.2f}" if agreement else "idle", labelpad=1)
        else:
            ax.set(xticks=[], yticks=[], frame_on=False)
            ax.text(0.5, 0.5, "not in this model", ha="center", va="center", color="0.6", size=8)
for ax, model in zip(axes[:, 0], ("truth", *found), strict=True):
    ax.set_ylabel(model, weight="bold")
for ax, name in zip(axes[1], same, strict=True):
    ax.set_title(name, style="italic")
bar = {"location": "bottom", "shrink": 0.85, "aspect": 30, "pad": 0.01}
figure.colorbar(drawn["shift_x"], ax=axes[:, :2], label="px, right and down", **bar)
turn = figure.colorbar(drawn["angle"], ax=axes[:, 2], label="degrees", **bar | {"aspect": 15})
turn.set_ticks([-180, 0, 180])
figure.colorbar(drawn["z1"], ax=axes[:, 3:], label="content, standard normal", **bar)

# %%
# Without translation the displacement is what content says first, or, in an rVAE, it is in the
# angle: the direction in which the column is off the middle. A shift *is* the polarization, through
# all walls, and leaves content for the mis-tilt. With rotation as well, the angle follows the
# direction in which columns are drawn out, and says nothing where they are round.
#
# Where columns are drawn out, light ones also seem to be displaced against heavy ones. That is why
# the shifts grow towards one side within a domain: they are right, but not all of it is
# polarization.
for name in ("tVAE", "trVAE", "C-tVAE", "C-trVAE"):
    off = found[name][["shift_x", "shift_y"]].to_numpy()
    off = off - known[["x", "y"]].to_numpy() + known[["ideal_x", "ideal_y"]].to_numpy()
    print(f"{name}: {off.std():.2f} px (rms) from where the columns are")

# %%
# A Gaussian mixture of principal components of the same windows finds domains, too, as groups that
# have no measure; in the components, displacement and mis-tilt mix.
windows = s.extract_subimages(11, "B").data.reshape(len(places), -1)
components = PCA(5, random_state=0).fit_transform(windows)
groups = GaussianMixture(4, n_init=5, random_state=0).fit_predict(components)
figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.6), layout="constrained")
draw(axes[0], known["domain"], "Set2", 0, 7, 60)
draw(axes[1], groups, "Set2", 0, 7, 60)
ends = np.percentile(components[:, 0], [2, 98])
first = draw(axes[2], components[:, 0], "PuOr_r", *ends, 60)
for ax, title in zip(axes, ("true domain", "group", "first component"), strict=True):
    ax.set_title(title)
figure.colorbar(first, ax=axes[2], shrink=0.7)
