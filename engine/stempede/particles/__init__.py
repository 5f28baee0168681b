"""Particles: segment, split, measure, accept and summarise."""
