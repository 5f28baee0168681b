"""Classifiers of particles: a support vector machine learnt from groups, samples or truth."""
