from .embedding import (
    embed_pictures as embed_pictures,
    save_features as save_features,
)
from .familiar import (
    Familiar as Familiar,
    familiar_from as familiar_from,
)
