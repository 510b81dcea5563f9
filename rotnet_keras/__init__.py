"""Rotation-prediction pretraining (RotNet) for Keras, for many images and few labels.

Names load at first use, so that `import rotnet_keras` costs nothing: TensorFlow, UMAP and
matplotlib come in when a function that needs them is touched. What there is, by wing, stands in
`__init__.pyi`.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
