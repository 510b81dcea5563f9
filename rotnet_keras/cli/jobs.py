"""The jobs: from options to calls of the library, whose door checks what was typed."""

from __future__ import annotations

import os
import pathlib
import shlex
import textwrap

from rotnet_keras._base.angles import ANGLES
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.names import printable
from rotnet_keras._base.values import check_choice
from rotnet_keras.cli.described import RUN, typed
from rotnet_keras.cli.typed import program

TABLE = "seeds.csv"  # a row for each of several seeds
NEED_LABELS = ["num_labels", "num_validation", "backbone", "weights", "layer", "num_seeds"]
NEED_LABELS += ["minutes", "explorer", "tensorboard"]


def experiment(options):
    from rotnet_keras.cli.quiet import prepare_runtime

    if options.found is not None:
        print(options.found.in_words, flush=True)
    print(prepare_runtime(seed=options.seed), flush=True)
    if options.found is not None and options.found.kind == "unlabelled":
        _without_labels(options)
        return
    from rotnet_keras._base.files import make_folder
    from rotnet_keras._base.locks import only_run
    from rotnet_keras.viewing.tensorboard import check_board

    check_board(options.tensorboard)  # said before a folder is made
    with only_run(make_folder(options.output)):  # of all seeds, until their page is written
        runs = _run_seeds(options)
        _say_figures(runs, options)
        page = printable(_write_reports(options))
    print(f"\nWritten to {printable(options.output)}; the report: {page}")
    if runs[0]["stand_in"]:
        print("\n*** STAND-IN GARMENTS: these figures are of drawn images, not of real data. ***")
    if options.quick:
        print("\nA --quick run: too little training for these figures to mean much.")


def _without_labels(options):
    """Pretrain on a folder's pictures, and say how to come to a classifier."""
    from rotnet_keras.jobs.unlabelled import FEATURES, pretrain_and_embed

    asked = typed(options)
    if idle := [name for name in NEED_LABELS if asked[name] != RUN[name].get("default", False)]:
        said = ", ".join(options.parser.spelt[name] for name in idle)
        print(f"No picture has a label, so this is not used: {said}", flush=True)
    names = ("output", "image_size", "fit", "channels", "ground", "white", "broken")
    asked = {name: asked[name] for name in (*names, "follow_links", "seed", "quick")}
    results = pretrain_and_embed(options.images, **asked)
    output, folder = printable(options.output), printable(options.images)
    choose = ["select", "--model", f"{output}/extractor.keras", "--number", "50", folder]
    print(f"\nRotation accuracy {results['history']['accuracy'][-1]:.1%} in the last epoch.")
    print(f"Written to {output}: extractor.keras, and {FEATURES} with its features of each picture")
    print("\nWhat to do next, for a classifier:")
    print("  Find the pictures that are most worth a label:")
    print(f"    {shlex.join([*program(), *choose])}")
    print(f"  Put them into {folder}/labelled/, in a folder for each class, and all others into")
    print(f"  {folder}/unlabelled/; then start this command again with another --output.")


def _say_figures(runs, options):
    """One run in sentences, several as a table of means and intervals."""
    from rotnet_keras.jobs.results import check_results
    from rotnet_keras.jobs.summary import summarise
    from rotnet_keras.jobs.words import chance_of, choice_of, figures_of, next_of, verdict_of

    run, folder = check_results(runs[0]), pathlib.Path(options.output)
    if len(runs) > 1:
        table = summarise(runs)
        if options.images is not None:
            table = table.drop(columns="blog")  # which had other images
        print(f"\nAccuracy on test images in percent, {runs[0]['num_labels']} labels:\n")
        print(table.to_string(float_format="{:.1f}".format, na_rep="-"))
        folder = folder / f"seed_{options.seed}"
        print(f"\nSeed {options.seed}:")
    print()
    for said in (verdict_of(run), figures_of(run), chance_of(run), choice_of(run)):
        if said:
            print(textwrap.fill(printable(said), 100, break_on_hyphens=False))
    print("\nWhat to do next:")
    for why, arguments in next_of(run, f"{folder}/"):
        print(f"  {why}")
        if arguments:
            print(f"    {shlex.join(program())} {printable(arguments)}")


def pretrain(options):
    from rotnet_keras.cli.quiet import prepare_runtime

    spread = {name: getattr(options, name) for name in ("devices", "hosts", "host")}
    runtime = prepare_runtime(**spread, seed=options.seed)
    print(runtime, flush=True)
    from rotnet_keras.jobs.pretraining import run_pretraining

    if options.images is not None and os.path.isdir(options.images):
        options.images = pathlib.Path(options.images)  # no data set of that name is asked for then
    results = run_pretraining(**typed(options, *spread), verbose=2)
    if runtime.host == 0:
        accuracy, speed = results["history"]["accuracy"][-1], results["images_per_second"]
        print(f"Rotation accuracy {accuracy:.3f} in the last epoch", end="")
        print(f", {speed:,} images per second" if speed else "")
        print(f"Written to {printable(options.output)}")


def study(options):
    from rotnet_keras.cli.quiet import prepare_runtime

    print(prepare_runtime(seed=options.seed))
    from rotnet_keras.study.run import run_study
    from rotnet_keras.study.table import summarise_study

    _check_study(options)  # said before the work, not after it
    table = run_study(
        seeds=_seeds(options),
        rotations=[ANGLES.index(angle) for angle in options.rotations],
        **typed(options, "baseline", "rotations", "seed", "num_seeds", "images")
        | _studied(options),
    )
    print("\nAccuracy on test images in percent; gain is paired by seed:\n")
    summary = summarise_study(table, baseline=options.baseline)
    shown = summary.drop(columns=["dataset", "network", "pretrain_epochs", "rotations"])
    print(shown.to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
    written = [pathlib.Path(options.output) / name for name in ("study.csv", "accuracy.png")]
    _draw_study(summary, options.images or options.dataset, written[1])
    print(f"\nWritten to {' and '.join(map(printable, written))}")


def _studied(options):
    """The data of a study, and how many labels of them; of own pictures, what there are."""
    from rotnet_keras.study.run import BUDGETS

    found, budgets, validation = options.found, options.budgets, options.num_validation
    if found is None:
        validation = 10_000 if validation is None else validation
        return {"budgets": budgets or [*BUDGETS], "num_validation": validation}
    from rotnet_keras.data.look import suitable_size

    print(found.in_words, flush=True)
    classes = len(found.labelled)
    validation = found.num_validation if validation is None else validation
    most = found.most_labels(validation) - classes  # so that each class has unlabelled ones, too
    if budgets is None:
        if most < classes:
            raise InputError(
                f"images must hold more labelled pictures for a study: {validation:,} are for "
                f"validation, and {most + classes:,} are left for {classes} classes, two each"
            )
        budgets = [budget for budget in BUDGETS if classes <= budget <= most] or [most]
    found.check_num_labels(max(budgets), validation)
    size = options.image_size or suitable_size(found.files)
    data = {"dataset": pathlib.Path(options.images), "image_size": size}
    return data | {"budgets": budgets, "num_validation": validation}


def _check_study(options):
    """What the command line has in another form than `run_study`, or `run_study` does not have."""
    from rotnet_keras.models import NETWORKS
    from rotnet_keras.study.run import fitting_arms
    from rotnet_keras.study.table import WITHOUT_PRETEXT

    angles = options.rotations
    if len({*angles}) < max(2, len(angles)):
        raise InputError(f"rotations must be two or more different ones of {ANGLES}, got {angles}")
    if options.pretext != "rotation" and tuple(angles) != ANGLES:
        raise InputError(f"rotations must be all of {ANGLES} with pretext {options.pretext!r}")
    if options.baseline == WITHOUT_PRETEXT:
        return
    network = check_choice("network", options.network, NETWORKS)
    baselines = (WITHOUT_PRETEXT, *(options.arms or fitting_arms(network)))
    if options.baseline not in baselines:
        raise InputError(f"baseline must be one of {baselines}, got {options.baseline!r}")


def _draw_study(summary, dataset, path):
    from rotnet_keras.viewing.axes import picture
    from rotnet_keras.viewing.budgets import plot_budgets

    name = "drawn stand-in garments" if dataset == "garments" else printable(dataset)
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
    from rotnet_keras._base.files import replace_text
    from rotnet_keras.jobs.experiment import run_experiment
    from rotnet_keras.jobs.summary import table_of_runs

    output, several, runs = pathlib.Path(options.output), options.num_seeds > 1, []
    board = None if options.tensorboard is None else pathlib.Path(options.tensorboard)
    settings = typed(options, "images", "num_seeds") | _data(options)
    for seed in _seeds(options):
        place = output / f"seed_{seed}" if several else output
        settings |= {"seed": seed, "output": place}
        settings["skip_finished"] = several or _lacks_its_report(place)
        settings["tensorboard"] = board / f"seed_{seed}" if board and several else board
        runs.append(run_experiment(**settings))
        if several and (output / TABLE).exists():  # of all seeds, so not of this one's new results
            for name in ("report.html", TABLE):
                (output / name).unlink(missing_ok=True)
    if several:
        replace_text(output / TABLE, table_of_runs(runs).to_csv(index=False))
    return runs


def _lacks_its_report(folder):
    """Whether results are there that a kill left without the page, the last that is written."""
    return (folder / "results.json").exists() and not (folder / "report.html").exists()


def _data(options):
    """What to read, and how many labels of it."""
    if options.images is None:
        return {"num_labels": 1000 if options.num_labels is None else options.num_labels}
    return {"dataset": pathlib.Path(options.images)}
