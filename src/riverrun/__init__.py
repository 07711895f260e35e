"""Riverrun: an experiment tracking server and model registry that speaks the MLflow protocol."""

__version__ = "0.1.0"
