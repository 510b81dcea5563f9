"""The jobs on a folder of pictures with a network that is there: predict, embed, select."""

from __future__ import annotations

import pathlib

from rotnet_keras._base.names import printable
from rotnet_keras.cli.described import typed


def predict(options):
    from rotnet_keras.cli.quiet import prepare_runtime

    prepare_runtime()
    from rotnet_keras._base.files import check_output, make_folder, replace_with
    from rotnet_keras.prediction import load_classifier, predict_pictures, write_predictions

    make_folder(pathlib.Path(options.output).parent)  # said before the work, not after it
    check_output(options.output)
    model, facts = load_classifier(options.model)
    said = {"ground": options.ground, "white": options.white}
    facts |= {name: value for name, value in said.items() if value is not None}
    table = predict_pictures(model, options.folder, broken=options.broken, **facts)
    with replace_with(options.output) as beside:
        write_predictions(table, beside)
    print(_counted(table["class"].value_counts()))
    unlike = table["unlike"].sum() if "unlike" in table else 0
    if unlike:
        they, their = ("looks", "its") if unlike == 1 else ("look", "their")
        print(
            f"{unlike:,} {they} like none of the pictures in training, so that {their} class means "
            "little: the column unlike marks which"
        )
    print(f"{len(table):,} pictures, written to {printable(options.output)}")


def _counted(counts, most=20):
    """How many of each class, the commonest first, in one line."""
    said = [f"{count:,} {name}" for name, count in counts.head(most).items()]
    if len(counts) > most:
        said.append(f"{counts.iloc[most:].sum():,} of {len(counts) - most:,} other classes")
    return ", ".join(said)


def embed(options):
    from rotnet_keras.cli.quiet import prepare_runtime

    prepare_runtime()
    from rotnet_keras._base.files import check_output, make_folder
    from rotnet_keras._base.model_files import load_model
    from rotnet_keras.deployment.embedding import (
        check_features_path,
        embed_pictures,
        save_features,
    )

    check_features_path(options.output)  # said before the work, not after it
    make_folder(pathlib.Path(options.output).parent)
    check_output(options.output)
    asked = typed(options, "model", "output")
    table = embed_pictures(load_model(options.model), options.folder, **asked)
    save_features(table, options.output)
    print(
        f"{len(table):,} pictures, {table.shape[1] - 1:,} features of each, written to "
        f"{printable(options.output)}"
    )


def select(options):
    from rotnet_keras.cli.quiet import prepare_runtime

    prepare_runtime(seed=options.seed)
    from rotnet_keras.jobs.labelling import LIST, SHEET, choose_pictures

    table, said = choose_pictures(folder=options.folder, **typed(options))
    folder = pathlib.Path(options.output)
    print(said)
    print(f"{len(table):,} pictures to label, written to {printable(folder / LIST)}")
    print(f"To look at: {printable(folder / SHEET)}")
    if options.move is not None:
        print(f"Moved to {printable(options.move)}: sort them into a folder for each class")
