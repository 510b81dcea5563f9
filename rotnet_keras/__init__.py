"""Rotation-prediction pretraining (RotNet) for Keras, for many images and few labels.

Names load at first use, so that `import rotnet_keras` costs nothing: TensorFlow, UMAP and
matplotlib come in when a function that needs them is touched.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "rotation": ["rotate_batch", "rotate_each", "rotation_dataset"],
        "datasets": [
            "Examples",
            "Splits",
            "load_splits",
            "make_splits",
            "split_indices",
            "stream_images",
        ],
        "pictures": [
            "DatasetError",
            "list_classes",
            "list_pictures",
            "read_pictures",
            "unpack_zip",
        ],
        "garments": ["draw_garments"],
        "models": [
            "attach_head",
            "block_names",
            "cast_model",
            "conv_blocks_extractor",
            "copy_model",
            "cut",
            "freeze",
            "join_blocks",
            "nin_extractor",
            "reinitialise",
            "remove_head",
            "swap_head",
            "two_conv_extractor",
            "unfreeze",
        ],
        "backbones": ["backbone_extractor", "make_extractor"],
        "runtime": ["prepare_runtime"],
        "board": ["save_projector"],
        "augmentation": ["gentle_augmentation", "strong_augmentation"],
        "training": [
            "fine_tune",
            "fit_classifier",
            "pretrain",
            "train_from_scratch",
            "train_head",
        ],
        "evaluation": [
            "accuracy",
            "confusion",
            "extract_features",
            "predict_classes",
            "predict_rotations",
            "rotation_accuracy",
            "rotation_confusion",
            "rotation_errors",
            "rotation_mistakes",
        ],
        "maps": ["align_maps", "umap_map"],
        "explorer": ["features_by_depth", "save_explorer", "show_page"],
        "inside": ["attention_maps", "first_filters", "similar_images"],
        "graph": ["guess_labels", "soft_neighbours", "spread_labels"],
        "probes": [
            "FeatureClassifier",
            "block_features",
            "linear_probe",
            "nearest_neighbours",
            "pixel_probe",
        ],
        "semi_supervised": ["self_train", "train_jointly"],
        "few_labels": ["fit_few_labels"],
        "study": ["run_study", "summarise_study"],
        "plots": [
            "draw_model",
            "plot_accuracies",
            "plot_attention_maps",
            "plot_budgets",
            "plot_confusion",
            "plot_filters",
            "plot_history",
            "plot_map",
            "plot_neighbours",
            "plot_rotation_confusion",
            "plot_rotation_mistakes",
            "plot_rotations",
        ],
        "pretrained": ["load_extractor"],
        "prediction": ["load_classifier", "predict_pictures", "save_classifier"],
        "pretraining": ["run_pretraining"],
        "experiment": ["run_experiment", "summarise"],
        "report": ["save_report"],
    },
)
