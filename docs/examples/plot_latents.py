"""
Orientations and content of MoS2
================================

A real image of a monolayer with a hole and adatoms, which comes with temul-toolkit. A window
around each metal column goes to an rVAE, and its latents are mapped back to where the columns are.
"""

import hyperspy.api as hs

from hyperspy_rvae.data import mos2

hs.preferences.General.show_progressbar = False
s = mos2().isig[300:812, 450:962]
s.find_atoms(refine=False)
s.refine_atoms(method="center_of_mass")
z = s.fit_rvae(window_size=25, latent_dim=2, seed=0)

# %%
# The images that the model makes of its two content latents.
z.plot_manifold(size=7)

# %%
# Where in the image they occur: adatoms, the rim of the hole and a gradient of the background
# stand out.
z.plot_map("z1", image=s)

# %%
# Everything is also a table, one row an atom.
print(z.to_dataframe()[["x", "y", "angle", "z1", "z2"]].describe().round(2))
