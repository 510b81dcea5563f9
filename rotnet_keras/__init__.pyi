"""Public names, by wing; `rotnet_keras` loads each at first use."""

# The wings, for what is used less often: `rk.viewing`, `rk.study` ...
from . import data as data
from . import deployment as deployment
from . import few_labels as few_labels
from . import jobs as jobs
from . import running as running
from . import study as study
from . import viewing as viewing
from . import zoo as zoo

# The pretext task
from .rotation import (
    rotate_batch as rotate_batch,
    rotate_each as rotate_each,
    rotation_dataset as rotation_dataset,
)

# Extractors
from .models import (
    conv_blocks_extractor as conv_blocks_extractor,
    nin_extractor as nin_extractor,
    two_conv_extractor as two_conv_extractor,
)

# Heads on and off
from .heads import (
    attach_head as attach_head,
    cast_model as cast_model,
    copy_model as copy_model,
    freeze as freeze,
    reinitialise as reinitialise,
    with_random_weights as with_random_weights,
    remove_head as remove_head,
    swap_head as swap_head,
    unfreeze as unfreeze,
)

# Cut points
from .blocks import (
    block_names as block_names,
    cut as cut,
    cut_at_block as cut_at_block,
    join_blocks as join_blocks,
)

# Pretraining
from .training import (
    pretrain as pretrain,
)

# Three ways to a classifier
from .fine_tuning import (
    fine_tune as fine_tune,
    fit_classifier as fit_classifier,
    train_from_scratch as train_from_scratch,
    train_head as train_head,
)

# How good is it
from .evaluation import (
    accuracy as accuracy,
    calibrate as calibrate,
    ci95 as ci95,
    confusion as confusion,
    balanced_accuracy as balanced_accuracy,
    confusion_matrix as confusion_matrix,
    extract_features as extract_features,
    predict_classes as predict_classes,
    rotation_accuracy as rotation_accuracy,
)

# Does rotation suit these images
from .symmetry import (
    predict_rotations as predict_rotations,
    rotation_confusion as rotation_confusion,
    rotation_errors as rotation_errors,
    rotation_report as rotation_report,
    rotation_mistakes as rotation_mistakes,
    rotation_verdict as rotation_verdict,
)

# A classifier that travels
from .deployment.embedding import (
    embed_pictures as embed_pictures,
    save_features as save_features,
)
from .deployment.familiar import (
    Familiar as Familiar,
    familiar_from as familiar_from,
)
from .prediction import (
    load_classifier as load_classifier,
    predict_pictures as predict_pictures,
    save_classifier as save_classifier,
)

# Wing data: images
from .data.archives import (
    unpack_zip as unpack_zip,
)
from .data.augmentation import (
    contrast_augmentation as contrast_augmentation,
    gentle_augmentation as gentle_augmentation,
    strong_augmentation as strong_augmentation,
)
from .data.folders import (
    list_classes as list_classes,
    list_pictures as list_pictures,
)
from .data.garments import (
    draw_garments as draw_garments,
)
from .data.load import (
    load_splits as load_splits,
    stream_images as stream_images,
)
from .data.pictures import (
    read_pictures as read_pictures,
)
from .data.splits import (
    Examples as Examples,
    Splits as Splits,
    make_splits as make_splits,
    split_indices as split_indices,
)

# Wing running: backend, devices, hosts
from .running.runtime import (
    prepare_runtime as prepare_runtime,
)

# Wing zoo: networks by name
from .zoo.backbones import (
    backbone_extractor as backbone_extractor,
    make_extractor as make_extractor,
)
from .zoo.pretrained import (
    load_extractor as load_extractor,
)

# Wing few_labels: probes, graphs, self-training, the recipe
from .few_labels.graph import (
    guess_labels as guess_labels,
    pseudo_label as pseudo_label,
    soft_neighbours as soft_neighbours,
    spread_labels as spread_labels,
)
from .few_labels.probes import (
    FeatureClassifier as FeatureClassifier,
    block_features as block_features,
    linear_probe as linear_probe,
    nearest_neighbours as nearest_neighbours,
    pixel_probe as pixel_probe,
)
from .few_labels.recipe import (
    fit_few_labels as fit_few_labels,
)
from .few_labels.selection import (
    select_to_label as select_to_label,
)
from .few_labels.semi_supervised import (
    self_train as self_train,
    train_jointly as train_jointly,
)
from .few_labels.verdict import (
    measure_gain as measure_gain,
)

# Wing viewing: pictures, maps, pages
from .viewing.budgets import (
    plot_budgets as plot_budgets,
)
from .viewing.charts import (
    plot_accuracies as plot_accuracies,
    plot_confusion as plot_confusion,
    plot_history as plot_history,
    plot_map as plot_map,
)
from .viewing.diagram import (
    draw_model as draw_model,
    plot_network as plot_network,
)
from .viewing.explorer import (
    features_by_depth as features_by_depth,
    save_explorer as save_explorer,
)
from .viewing.images import (
    plot_attention_maps as plot_attention_maps,
    plot_filters as plot_filters,
    plot_neighbours as plot_neighbours,
    plot_predictions as plot_predictions,
)
from .viewing.inside import (
    attention_maps as attention_maps,
    first_filters as first_filters,
    similar_images as similar_images,
)
from .viewing.label_curve import (
    plot_label_curve as plot_label_curve,
)
from .viewing.maps import (
    align_maps as align_maps,
    plot_umap as plot_umap,
    umap_map as umap_map,
    umap_points as umap_points,
)
from .viewing.pages import (
    show_html as show_html,
    show_page as show_page,
)
from .viewing.rotations import (
    plot_rotation_confusion as plot_rotation_confusion,
    plot_rotation_mistakes as plot_rotation_mistakes,
    plot_rotations as plot_rotations,
)
from .viewing.tensorboard import (
    save_projector as save_projector,
)

# Wing study: many arms, many label budgets
from .study.contrast import (
    pretrain_contrast as pretrain_contrast,
)
from .study.run import (
    run_study as run_study,
)
from .study.table import (
    summarise_study as summarise_study,
)

# Wing jobs: from data to a report
from .jobs.experiment import (
    run_experiment as run_experiment,
)
from .jobs.pretraining import (
    run_pretraining as run_pretraining,
)
from .jobs.report import (
    save_report as save_report,
)
from .jobs.summary import (
    summarise as summarise,
)

# Errors that the caller can mend
from ._base.errors import (
    DatasetError as DatasetError,
    FileError as FileError,
    InputError as InputError,
    MissingPackageError as MissingPackageError,
    SetupError as SetupError,
)

__version__: str
