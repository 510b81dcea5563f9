"""How training runs: backend, devices, hosts, batches that a seed decides, checkpoints."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
