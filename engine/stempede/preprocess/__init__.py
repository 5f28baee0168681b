"""Preprocess: from counts to a flat signal in units of noise, particles bright."""
