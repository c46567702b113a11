"""
Displacements across a domain wall
==================================

A synthetic perovskite, whose B columns are displaced one way left of a wall and the other way
right of it. Both sublattices are found, and the displacements are compared with the known ones.
"""

import hyperspy.api as hs
import numpy as np
from scipy.spatial import KDTree

from hyperspy_rvae.data import polar_perovskite

hs.preferences.General.show_progressbar = False
s, truth = polar_perovskite(displacement_px=(0.4, -0.6), pixel_pm=25, seed=0)
s.find_atoms()
s.find_sublattice("B", reference="A")

# %%
# Look at what was found before measuring anything.
s.plot_atoms()

# %%
# Each vector points from the centre of the A columns around it to the B column.
d = s.displacement_map("B", "A", units="pm")
d.plot(image=s)

# %%
# The known displacements have a length of 18 pm; u is right, v is down.
vectors = d.to_dataframe().dropna()
known = truth[truth["sublattice"] == "B"]
nearest = KDTree(known[["x", "y"]]).query(vectors[["x", "y"]])[1]
error = vectors[["u", "v"]].to_numpy() - 25 * known[["u", "v"]].to_numpy()[nearest]
print(f"{len(vectors)} vectors, error {np.sqrt((error**2).mean()):.1f} pm rms per axis")
