"""Whole jobs: the blog's experiment, and pretraining alone, with all that they write."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
