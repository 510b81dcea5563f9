from .contrast import (
    pretrain_contrast as pretrain_contrast,
)
from .run import (
    run_study as run_study,
)
from .table import (
    summarise_study as summarise_study,
)
