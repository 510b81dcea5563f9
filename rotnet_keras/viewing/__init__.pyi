from .budgets import (
    plot_budgets as plot_budgets,
)
from .charts import (
    plot_accuracies as plot_accuracies,
    plot_confusion as plot_confusion,
    plot_history as plot_history,
    plot_map as plot_map,
)
from .diagram import (
    draw_model as draw_model,
    plot_network as plot_network,
)
from .explorer import (
    features_by_depth as features_by_depth,
    save_explorer as save_explorer,
)
from .images import (
    plot_attention_maps as plot_attention_maps,
    plot_filters as plot_filters,
    plot_neighbours as plot_neighbours,
    plot_predictions as plot_predictions,
)
from .inside import (
    attention_maps as attention_maps,
    first_filters as first_filters,
    similar_images as similar_images,
)
from .label_curve import (
    plot_label_curve as plot_label_curve,
)
from .maps import (
    align_maps as align_maps,
    plot_umap as plot_umap,
    umap_map as umap_map,
    umap_points as umap_points,
)
from .pages import (
    show_html as show_html,
    show_page as show_page,
)
from .rotations import (
    plot_rotation_confusion as plot_rotation_confusion,
    plot_rotation_mistakes as plot_rotation_mistakes,
    plot_rotations as plot_rotations,
)
from .tensorboard import (
    save_projector as save_projector,
)
