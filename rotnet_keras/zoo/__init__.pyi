from .backbones import (
    backbone_extractor as backbone_extractor,
    make_extractor as make_extractor,
)
from .pretrained import (
    load_extractor as load_extractor,
)
