"""What a network needs away from home: pictures as it takes them, features, what it never saw."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
