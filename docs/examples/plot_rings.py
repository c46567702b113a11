"""
Rings and neighbours of graphene
================================

Synthetic graphene with a Stone-Wales defect, a vacancy, two divacancies and an edge. The rings of
its bond graph name them, and its neighbours tell the two sublattices apart.
"""

import hyperspy.api as hs

from hyperspy_rvae.data import graphene

hs.preferences.General.show_progressbar = False
s, truth = graphene(seed=0)
s.set_atoms(truth[["x", "y"]])  # in an image of your own: s.find_atoms()
r = s.rings()
r.plot(image=s)

# %%
# One row a defect. One of the two divacancies has closed into rings of 5, 8 and 5 atoms.
print(r.defects().round(1))

# %%
# What each atom is part of. Near the border of the image that is not known.
r.plot_map("defect", image=s)

# %%
# Where the three nearest neighbours of each atom are, sorted into clusters.
n = s.neighbours(3).cluster(3, seed=0)
n.plot("cluster")

# %%
# The clusters are the two sublattices, and atoms that lack a neighbour.
n.plot_map("cluster", image=s)
