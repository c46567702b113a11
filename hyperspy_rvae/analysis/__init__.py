"""What it means: denoising, groups and classes of atoms and of their surroundings."""
