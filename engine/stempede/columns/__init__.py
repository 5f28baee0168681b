"""Columns: atom columns, their lattice, octahedra, cells and layers."""
