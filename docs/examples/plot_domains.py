"""
Denoised domains and their wall
===============================

Displacements are noisy one by one and meaningful together. Here the vectors of a noisy synthetic
perovskite are denoised by what they have in common with their neighbours', grouped by direction,
and joined to domains.
"""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np

from hyperspy_rvae.data import polar_perovskite

hs.preferences.General.show_progressbar = False
s, _ = polar_perovskite(displacement_px=(0.4, -0.6), noise=0.06, pixel_pm=25, seed=0)
s.find_atoms()
s.find_sublattice("B", reference="A")
d = s.displacement_map("B", "A", units="pm")
print("noise between neighbours: {:.1f} and {:.1f} pm".format(*d.noise()))

# %%
# Each atom and its 24 neighbours are one sample. The components of these samples that predict an
# atom from its neighbours are kept: the domains and the wall, and no noise.
denoised = d.denoise("pca")
d.plot_comparison(denoised)

# %%
# The scree plot is HyperSpy's own.
samples = d.neighbourhoods()
samples.decomposition(print_info=False)
samples.plot_scree_plot(n=20)

# %%
# The number of groups is estimated; here there are two directions.
grouped = denoised.cluster(seed=0)
grouped.plot(image=s)

# %%
# Neighbours of one group make a domain, and atoms beside another group stand at a wall.
domains = grouped.find_domains()
domains.plot_map("wall", image=s)
print(domains.describe_groups("domain").round(2))

# %%
# The known displacement jumps from one cell to the next, by 30 pm down and 20 pm to the left.
# Components keep the step; an average over neighbours does not.
y = 0.025 * s.data.shape[0] / 2
line = hs.roi.Line2DROI(0.6, y, 6.7, y, linewidth=4)
figure, ax = plt.subplots()
for name, vectors in {
    "as measured": d,
    "principal components": denoised,
    "Gaussian": d.denoise("gaussian"),
}.items():
    profile = vectors.line_profile(line)
    ax.errorbar(profile.index, profile["v"], profile["v_sem"], label=name, capsize=2)
ax.set(xlabel="distance (nm)", ylabel="v (pm), down")
ax.legend()

# %%
# How near are they to the truth? Denoising takes away what is random; what neighbours share stays.
for name, vectors in {"as measured": d, "denoised": denoised}.items():
    table = vectors.vector_rows()
    side = np.where(table[["x"]] < table["x"].mean(), 1, -1)
    error = table[["u", "v"]] - side * 25 * np.array([0.4, -0.6])
    print(f"{name}: {np.sqrt((error**2).to_numpy().mean()):.1f} pm rms per axis")
