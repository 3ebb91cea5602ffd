"""Simulated ptychography: objects, probes, scan grid, photon noise, and the cache of what was simulated."""

from .cache import load_or_simulate
from .dataset import Dataset, dataset_key, simulate

__all__ = ["Dataset", "dataset_key", "load_or_simulate", "simulate"]
