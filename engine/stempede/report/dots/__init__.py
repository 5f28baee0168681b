"""The report of the columns route: nanocrystals as networks of octahedra."""
