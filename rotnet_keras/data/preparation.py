"""TensorFlow Datasets, having it prepare a data set, and what is said where it cannot."""

from __future__ import annotations

import contextlib
import importlib
import pathlib
import shutil
import sys
import threading
import uuid

from rotnet_keras._base.errors import DatasetError, MissingPackageError, cause

_one_at_a_time = threading.Lock()  # so that what TFDS draws is known to be drawn for one call


def import_tfds():
    """Import TensorFlow Datasets, which takes seconds, or say in one line what it needs.

    On Colab's GPU runtime its tensorflow-metadata does not fit protobuf; TFDS is then imported by
    half, without `load` and `core`.
    """
    try:
        # First, since TFDS would print pages about it, and go on.
        importlib.import_module("tensorflow_metadata.proto.v0.schema_pb2")
        tfds = importlib.import_module("tensorflow_datasets")
        importlib.import_module("tensorflow_datasets.core")
    except Exception as error:  # protobuf has errors of its own
        for name in list(sys.modules):  # so that it can be mended without a restart
            if name.partition(".")[0] in ("tensorflow_metadata", "tensorflow_datasets"):
                del sys.modules[name]
        absent = isinstance(error, ModuleNotFoundError)
        package = "tensorflow-datasets" if absent else '"tensorflow-metadata<1.21"'
        raise MissingPackageError(
            f"data sets by name need TensorFlow Datasets, which cannot be imported: pip install "
            f"{package} mends it, without a restart ({cause(error)})"
        ) from error
    return tfds


def prepare(builder, manual_dir):
    """Have TFDS download and prepare the data, unless it lies there prepared."""
    tfds = import_tfds()
    if builder.data_path.exists():
        if not builder.info.splits:
            raise DatasetError(
                f"{builder.data_path} holds no finished data: delete that folder and try again, or "
                "give another data_dir"
            )
        return
    manual_dir = None if manual_dir is None else pathlib.Path(manual_dir)
    if manual_dir is not None and not manual_dir.is_dir():
        raise DatasetError(f"manual_dir must be a folder, {str(manual_dir)!r} is none")
    _check_reachable(builder, manual_dir)
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    try:
        with _clean_up_after_failure(builder):
            builder.download_and_prepare(download_config=config)
    except tfds.download.DownloadError as error:
        raise _unavailable(builder, f"the download failed: {cause(error)}") from error
    except Exception as error:  # whatever a data set's own preparation may raise
        raise _unavailable(builder, cause(error)) from error


def _check_reachable(builder, manual_dir, seconds=20):
    """Ask for the first bytes of what must be downloaded; TFDS alone would retry for minutes."""
    import requests

    urls = [
        url
        for url, info in (builder.url_infos or {}).items()
        if not (manual_dir and info.filename and (manual_dir / info.filename).exists())
    ]
    if not urls or not urls[0].startswith("http"):
        return

    failures = [f"no answer in {seconds} s"]

    def ask():
        try:
            with requests.get(urls[0], stream=True, timeout=seconds / 2) as response:
                response.raise_for_status()
            failures.clear()
        except requests.RequestException as error:
            failures[:] = [cause(error)]

    # In a thread, since a name server that does not answer heeds no timeout of requests.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout=seconds)
    if failures:
        raise _unavailable(builder, f"{urls[0]} cannot be reached ({failures[0]})")


def _unavailable(builder, reason):
    infos = (builder.url_infos or {}).values()
    files = ", ".join(sorted({info.filename for info in infos if info.filename})[:4])
    return DatasetError(
        f"{builder.name!r} is not in {builder.data_path.parent} and could not be prepared: "
        f"{reason}. Connect to the network and try again, give data_dir (or set TFDS_DATA_DIR) to "
        f"a folder where TFDS has prepared it, or put the original files ({files or 'see TFDS'}) "
        "in a folder and give that as manual_dir"
    )


@contextlib.contextmanager
def _clean_up_after_failure(builder):
    """Remove the unfinished downloads and unpacked archives of this call if it fails.

    Other processes may be at work in the same folder, on the same data set. Time and place of what
    is new there do not tell whose it is, but the UUID does that TFDS draws for each name. The
    folder that a data set is written to is left to TFDS, which removes its own, and only that.
    """
    root = pathlib.Path(builder.data_path)
    downloads = root.parents[len(builder.info.full_name.split("/")) - 1] / "downloads"
    with _one_at_a_time, _drawn_uuids() as drawn:
        try:
            yield
        except BaseException:
            own = [p for p in downloads.rglob("*") if any(text in p.name for text in drawn)]
            for path in own:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _drawn_uuids():
    """The UUIDs, as text, that TFDS draws meanwhile to name what it downloads and unpacks."""
    from tensorflow_datasets.core.download import download_manager, extractor

    note = _Uuids()
    for module in (download_manager, extractor):
        module.uuid = note
    try:
        yield note.drawn
    finally:
        for module in (download_manager, extractor):
            module.uuid = uuid


class _Uuids:
    """Stands in for the module `uuid`, and keeps what is drawn."""

    def __init__(self):
        self.drawn = set()

    def __getattr__(self, name):
        return getattr(uuid, name)

    def uuid4(self):
        drawn = uuid.uuid4()
        self.drawn.add(drawn.hex)
        return drawn
