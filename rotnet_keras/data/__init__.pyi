from .archives import (
    unpack_zip as unpack_zip,
)
from .augmentation import (
    contrast_augmentation as contrast_augmentation,
    gentle_augmentation as gentle_augmentation,
    strong_augmentation as strong_augmentation,
)
from .folders import (
    list_classes as list_classes,
    list_pictures as list_pictures,
)
from .garments import (
    draw_garments as draw_garments,
)
from .load import (
    load_splits as load_splits,
    stream_images as stream_images,
)
from .pictures import (
    read_pictures as read_pictures,
)
from .splits import (
    Examples as Examples,
    Splits as Splits,
    make_splits as make_splits,
    split_indices as split_indices,
)
