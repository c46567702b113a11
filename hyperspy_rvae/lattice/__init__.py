"""Where atoms are: the table, finding and refining, ideal sites, displacements."""
