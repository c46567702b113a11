"""What it means: denoising, groups and classes of atoms; scikit-learn does the work."""
