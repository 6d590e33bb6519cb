"""Loads accounts: each from its lock to `raw`, one after another or side by side.

Data flow: locks → pipeline (restored from the destination) → the source, package by package → raw.*
"""

from pipelines.load.pipeline import pipeline

__all__ = ["pipeline"]
