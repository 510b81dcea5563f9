"""The jobs: from options to calls of the library."""

from __future__ import annotations

import os
import pathlib

from rotnet_keras._base.errors import InputError


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
    table = predict_pictures(model, options.folder, broken=options.broken, **facts)
    with replace_with(options.output) as beside:
        table.to_csv(beside, index=False, float_format="%.6f", errors="surrogateescape")
    print(f"{len(table):,} pictures, written to {options.output}")


def pretrain(options):
    from rotnet_keras.running.runtime import prepare_runtime

    runtime = prepare_runtime(
        devices=options.devices, hosts=options.hosts, host=options.process, seed=options.seed
    )
    print(runtime, flush=True)
    from rotnet_keras.jobs.pretraining import run_pretraining

    results = run_pretraining(
        options.dataset,
        images=_folder_or_name(options.images),
        image_size=options.size,
        fit=options.fit,
        broken=options.broken,
        network=options.network,
        epochs=options.epochs,
        batch_size=options.batch_size,
        all_rotations=not options.one_rotation,
        precision=options.precision,
        seed=options.seed,
        output=options.output,
        data_dir=options.data_dir,
        tensorboard=options.tensorboard,
        verbose=2,
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
    from rotnet_keras.study.arms import ARMS
    from rotnet_keras.study.run import run_study
    from rotnet_keras.study.table import WITHOUT_PRETEXT, summarise_study

    baselines = (WITHOUT_PRETEXT, *(options.arms or ARMS))
    if options.baseline not in baselines:  # said before the work, not after it
        raise InputError(f"--baseline must be one of {baselines}, got {options.baseline!r}")
    table = run_study(
        **{"arms": options.arms} if options.arms else {},
        budgets=options.budgets,
        seeds=range(options.seed, options.seed + options.num_seeds),
        dataset=options.dataset,
        network=options.network,
        pretrain_epochs=options.pretrain_epochs,
        rotations=[angle // 90 for angle in options.rotations],
        num_validation=options.validation,
        precision=options.precision,
        output=options.output,
        data_dir=options.data_dir,
    )
    print("\nAccuracy on test images in percent; gain is paired by seed:\n")
    columns = ["num_labels", "arm", "mean", "ci95", "runs", "baseline", "gain", "gain_ci95"]
    summary = summarise_study(table, baseline=options.baseline)
    print(summary[columns].to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
    output = pathlib.Path(options.output)
    _draw_study(summary, options.dataset, output / "accuracy.png")
    print(f"\nWritten to {output / 'study.csv'} and {output / 'accuracy.png'}")


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
    for seed in _seeds(options):
        run = run_experiment(
            options.dataset if options.images is None else pathlib.Path(options.images),
            num_labels=1000 if options.labels is options.images is None else options.labels,
            num_validation=options.validation,
            image_size=options.size,
            fit=options.fit,
            channels=1 if options.grey else None,
            broken=options.broken,
            backbone=options.backbone,
            weights=options.weights,
            layer=options.cut,
            seed=seed,
            output=output / f"seed_{seed}" if several else output,
            skip_finished=several,
            data_dir=options.data_dir,
            manual_dir=options.manual_dir,
            quick=options.quick,
            explorer=options.explorer,
            tensorboard=board / f"seed_{seed}" if board and several else board,
        )
        runs.append(run)
        if several:  # the report of all seeds is not of this one's new results
            (output / "report.html").unlink(missing_ok=True)
    return runs
