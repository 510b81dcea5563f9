"""Networks by name: of this package, of Keras, and pretrained ones."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
