"""Trunkline: a self-hosted exchange for language models."""

__version__ = "0.1.0"
