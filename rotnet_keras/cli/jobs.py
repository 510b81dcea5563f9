"""The jobs: from options to calls of the library, whose door checks what was typed."""

from __future__ import annotations

import os
import pathlib

from rotnet_keras._base.errors import InputError
from rotnet_keras.cli.options import ANGLES

READING = ("image_size", "fit", "broken")


def typed(options, *names):
    """What was typed for the arguments of these names."""
    return {name: getattr(options, name) for name in names}


def experiment(options):
    from rotnet_keras.running.runtime import prepare_runtime

    print(prepare_runtime(seed=options.seed))
    from rotnet_keras.jobs.results import summarise

    runs = _run_seeds(options)
    print(f"\nAccuracy on test images in percent, {runs[0]['num_labels']} labels:\n")
    table = summarise(runs)
    if options.images is not None:
        table = table.drop(columns="blog")  # which had other images
    print(table.to_string(float_format="{:.1f}".format, na_rep="-"))
    print(f"\nWritten to {options.output}; to read or to send: {_write_reports(options)}")
    if runs[0]["stand_in"]:
        print("\n*** STAND-IN GARMENTS: these figures are of drawn images, not of real data. ***")
    if options.quick:
        print("\nA --quick run: too little training for these figures to mean much.")


def predict(options):
    from rotnet_keras.running.runtime import prepare_runtime

    prepare_runtime()
    from rotnet_keras._base.files import make_folder, replace_with
    from rotnet_keras.prediction import load_classifier, predict_pictures

    make_folder(pathlib.Path(options.output).parent)  # said before the work, not after it
    model, facts = load_classifier(options.model)
    table = predict_pictures(model, **typed(options, "folder", "broken"), **facts)
    with replace_with(options.output) as beside:
        table.to_csv(beside, index=False, float_format="%.6f", errors="surrogateescape")
    print(f"{len(table):,} pictures, written to {options.output}")


def pretrain(options):
    from rotnet_keras.running.runtime import prepare_runtime

    runtime = prepare_runtime(**typed(options, "devices", "hosts", "host", "seed"))
    print(runtime, flush=True)
    from rotnet_keras.jobs.pretraining import run_pretraining

    training = ("network", "epochs", "batch_size", "all_rotations", "precision", "seed")
    results = run_pretraining(
        images=_folder_or_name(options.images),
        verbose=2,
        **typed(options, "dataset", *READING, *training, "output", "data_dir", "tensorboard"),
    )
    if runtime.host == 0:
        accuracy, speed = results["history"]["accuracy"][-1], results["images_per_second"]
        print(f"Rotation accuracy {accuracy:.3f} in the last epoch", end="")
        print(f", {speed:,} images per second" if speed else "")
        print(f"Written to {options.output}")


def _folder_or_name(source):
    """A path, where the folder is there: a data set of that name is not asked for then."""
    return pathlib.Path(source) if source is not None and os.path.isdir(source) else source


def study(options):
    from rotnet_keras.running.runtime import prepare_runtime

    print(prepare_runtime(seed=options.seed))
    from rotnet_keras.study.run import run_study
    from rotnet_keras.study.table import summarise_study

    _check_study(options)  # said before the work, not after it
    learning = ("dataset", "network", "pretrain_epochs", "num_validation", "precision")
    table = run_study(
        **typed(options, "arms") if options.arms else {},
        seeds=_seeds(options),
        rotations=[angle // 90 for angle in options.rotations],
        **typed(options, "budgets", *learning, "output", "data_dir"),
    )
    print("\nAccuracy on test images in percent; gain is paired by seed:\n")
    columns = ["num_labels", "arm", "mean", "ci95", "runs", "baseline", "gain", "gain_ci95"]
    summary = summarise_study(table, baseline=options.baseline)
    print(summary[columns].to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
    output = pathlib.Path(options.output)
    _draw_study(summary, options.dataset, output / "accuracy.png")
    print(f"\nWritten to {output / 'study.csv'} and {output / 'accuracy.png'}")


def _check_study(options):
    """What the command line has in another form than `run_study`, or `run_study` does not have."""
    from rotnet_keras.study.arms import ARMS
    from rotnet_keras.study.table import WITHOUT_PRETEXT

    angles = options.rotations
    if len({*angles}) < max(2, len(angles)):
        raise InputError(f"rotations must be two or more different ones of {ANGLES}, got {angles}")
    baselines = (WITHOUT_PRETEXT, *(options.arms or ARMS))
    if options.baseline not in baselines:
        raise InputError(f"baseline must be one of {baselines}, got {options.baseline!r}")


def _draw_study(summary, dataset, path):
    from rotnet_keras.viewing.axes import picture
    from rotnet_keras.viewing.charts import plot_budgets

    name = "drawn stand-in garments" if dataset == "garments" else dataset
    with picture(path, f"{name}: test accuracy, mean and 95% interval"):
        plot_budgets(summary)


def _seeds(options):
    return range(options.seed, options.seed + options.num_seeds)


def _write_reports(options):
    """One report for each seed, and one of all seeds where there are several: return its path."""
    from rotnet_keras.jobs.report import save_report

    output, command = pathlib.Path(options.output), options.command
    if options.num_seeds == 1:
        return save_report(output, command=command)
    for seed in _seeds(options):
        save_report(output / f"seed_{seed}", command=command)
    return save_report(output, seeds=_seeds(options), command=command)


def _run_seeds(options):
    from rotnet_keras.jobs.experiment import run_experiment

    output, several, runs = pathlib.Path(options.output), options.num_seeds > 1, []
    board = None if options.tensorboard is None else pathlib.Path(options.tensorboard)
    settings = typed(
        options, *READING, "channels", "num_validation", "backbone", "weights", "layer"
    )
    settings |= typed(options, "data_dir", "manual_dir", "quick", "explorer")
    for seed in _seeds(options):
        run = run_experiment(
            **_data(options),
            seed=seed,
            output=output / f"seed_{seed}" if several else output,
            skip_finished=several,
            tensorboard=board / f"seed_{seed}" if board and several else board,
            **settings,
        )
        runs.append(run)
        if several:  # the report of all seeds is not of this one's new results
            (output / "report.html").unlink(missing_ok=True)
    return runs


def _data(options):
    """What to read, and how many labels of it."""
    if options.images is None:
        labels = 1000 if options.num_labels is None else options.num_labels
        return {"dataset": options.dataset, "num_labels": labels}
    options.parser.spelt["dataset"] = "--images"  # for errors
    return {"dataset": pathlib.Path(options.images), "num_labels": options.num_labels}
