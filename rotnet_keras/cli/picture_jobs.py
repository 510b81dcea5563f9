"""The jobs on a folder of pictures with a network that is there: predict."""

from __future__ import annotations

import pathlib

from rotnet_keras._base.names import printable


def predict(options):
    from rotnet_keras.running.runtime import prepare_runtime

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
    print(f"{len(table):,} pictures, written to {printable(options.output)}")
