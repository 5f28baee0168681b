"""Batched numerical kernels, each with a plain reference, a CPU and mostly a GPU version.

Every folder is one kernel; import from it: ``from stempede_kernels.distance import distance``.
Nothing heavy (numba, torch, triton, cupy) is imported before a kernel is first called.
"""
