"""Many arms under many label budgets: the study, and the extractors that came out of it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
