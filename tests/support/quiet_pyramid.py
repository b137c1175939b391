"""Imports Pyramid once with its warnings off: its import of pkg_resources warns of other people's packages."""

from __future__ import annotations

import importlib
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", UserWarning)
    importlib.import_module("pyramid.config")
