"""What it means: clusters of local configurations."""
