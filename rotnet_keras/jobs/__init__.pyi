from .experiment import (
    run_experiment as run_experiment,
)
from .pretraining import (
    run_pretraining as run_pretraining,
)
from .report import (
    save_report as save_report,
)
from .summary import (
    summarise as summarise,
)
