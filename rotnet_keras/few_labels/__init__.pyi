from .graph import (
    guess_labels as guess_labels,
    pseudo_label as pseudo_label,
    soft_neighbours as soft_neighbours,
    spread_labels as spread_labels,
)
from .probes import (
    FeatureClassifier as FeatureClassifier,
    block_features as block_features,
    linear_probe as linear_probe,
    nearest_neighbours as nearest_neighbours,
    pixel_probe as pixel_probe,
)
from .recipe import (
    fit_few_labels as fit_few_labels,
)
from .selection import (
    select_to_label as select_to_label,
)
from .semi_supervised import (
    self_train as self_train,
    train_jointly as train_jointly,
)
from .verdict import (
    measure_gain as measure_gain,
)
