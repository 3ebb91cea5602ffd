"""A laboratory for the training stability of neural-operator ptychography, run and recorded by MLflow.

Importing this package is light on purpose: torch, lightning, mlflow and optuna load only where they are used.
"""

__version__ = "0.1.0"
