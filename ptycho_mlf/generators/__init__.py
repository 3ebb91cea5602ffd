"""Generators: networks from diffraction patterns to object patches."""

from . import cnn, ffno, fno, hybrid, hybrid_resnet
from .build import build_generator
from .generator import Generator
from .parameters import ParameterCount, count_parameters, head_parameters, unit_axes
from .registry import GeneratorInfo, generator_info, list_generators

__all__ = [
    "Generator",
    "GeneratorInfo",
    "ParameterCount",
    "build_generator",
    "cnn",
    "count_parameters",
    "ffno",
    "fno",
    "generator_info",
    "head_parameters",
    "hybrid",
    "hybrid_resnet",
    "list_generators",
    "unit_axes",
]
