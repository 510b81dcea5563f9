"""Having TensorFlow Datasets prepare a data set, and what is left where it fails."""

import contextlib
import http.server
import os
import pathlib
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow_metadata
from tfds_tiny import TinyColours, TinyDownload, files_below

from rotnet_keras import DatasetError, load_splits


@pytest.fixture
def torn_download():
    """The address of a file whose sender hangs up in the middle."""

    class Sender(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"the first bytes")

        def log_message(self, *_):
            pass

    with contextlib.closing(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sender)) as server:
        server.close = server.server_close
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/file.bin"
        server.shutdown()


HALF = """
import pathlib, sys
import rotnet_keras, tensorflow_datasets
print(len(rotnet_keras.stream_images("pictures", image_size=8)))
for function in (rotnet_keras.load_splits, rotnet_keras.stream_images):
    try:
        function("no_such_data_set")
    except ImportError as error:
        print(error)
pathlib.Path("tensorflow_metadata/__init__.py").write_text(sys.argv[1])
try:
    rotnet_keras.load_splits("no_such_data_set")
except ValueError as error:
    print(error)
"""


def test_tfds_that_is_imported_by_half_is_mended_without_a_restart(tmp_path):
    """As on Colab's GPU runtime, whose protobuf tensorflow-metadata was not made for."""
    false = tmp_path / "tensorflow_metadata" / "__init__.py"
    false.parent.mkdir()
    false.write_text("raise RuntimeError('Detected incompatible Protobuf Gencode/Runtime')")
    (tmp_path / "pictures").mkdir()
    keras.utils.save_img(tmp_path / "pictures" / "one.png", np.zeros((9, 9, 3)), scale=False)
    whole = str(pathlib.Path(tensorflow_metadata.__file__).parent)
    command = [sys.executable, "-c", HALF, f"__path__ = [{whole!r}]"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    pictures, *mended, unknown = ran.stdout.splitlines()
    assert pictures == "1"  # which are read without TFDS
    assert len(mended) == 2
    for line in mended:
        assert 'pip install "tensorflow-metadata<1.21" mends it, without a restart' in line
    assert "must be a data set of TensorFlow Datasets, got 'no_such_data_set'" in unknown


def test_no_network(tmp_path, offline):
    start = time.monotonic()
    with pytest.raises(DatasetError) as error:
        load_splits("fashion_mnist", data_dir=tmp_path)
    assert time.monotonic() - start < 60
    for word in ("cannot be reached", "Connect", "data_dir", "TFDS_DATA_DIR", "manual_dir"):
        assert word in str(error.value)
    assert "train-images-idx3-ubyte.gz" in str(error.value)
    assert files_below(tmp_path) == []


def test_damaged_file_in_manual_dir(tmp_path, offline):
    manual_dir, data_dir = tmp_path / "manual", tmp_path / "data"
    manual_dir.mkdir()
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (manual_dir / f"{part}-ubyte.gz").write_bytes(b"not the published file")
    with pytest.raises(DatasetError, match="wrong checksum"):
        load_splits("fashion_mnist", data_dir=data_dir, manual_dir=manual_dir)
    assert files_below(data_dir) == []


def test_file_missing_from_manual_dir(tmp_path, offline):
    with pytest.raises(DatasetError, match="cannot be reached"):
        load_splits("fashion_mnist", data_dir=tmp_path / "data", manual_dir=tmp_path)
    with pytest.raises(DatasetError, match="manual_dir must be a folder"):
        load_splits("fashion_mnist", data_dir=tmp_path / "data", manual_dir=tmp_path / "none")


def test_preparation_that_breaks_off_leaves_nothing_and_can_be_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(TinyColours, "fail_after", 30)
    with pytest.raises(DatasetError, match=r"could not be prepared: .*the disk went away"):
        load_splits("tiny_colours", data_dir=tmp_path, num_labels=12, num_validation=6)
    assert files_below(tmp_path) == []
    monkeypatch.setattr(TinyColours, "fail_after", None)
    assert (
        len(
            load_splits(
                "tiny_colours", data_dir=tmp_path, num_labels=12, num_validation=6
            ).unlabelled
        )
        == 32
    )


def test_folder_without_finished_data(tmp_path):
    (tmp_path / "tiny_colours" / "1.0.0").mkdir(parents=True)
    with pytest.raises(DatasetError, match="holds no finished data: delete that folder"):
        load_splits("tiny_colours", data_dir=tmp_path, num_labels=12, num_validation=6)


def test_only_what_this_call_left_unfinished_is_removed(tmp_path, monkeypatch, torn_download):
    """Another process starts to prepare the same data set while this one is at it."""
    others = [
        tmp_path / "tiny_download" / "incomplete.ABC123_1.0.0" / "tiny.tfrecord",
        tmp_path / "downloads" / "tiny_download" / f"file.bin.tmp.{'0' * 32}" / "file.bin",
        tmp_path / "downloads" / "extracted" / f"incomplete.{'0' * 32}_file" / "one.png",
    ]
    prepare = TinyDownload._split_generators

    def prepare_meanwhile(self, dl_manager):
        for path in others:
            path.parent.mkdir(parents=True)
            path.write_text("half of it")
        return prepare(self, dl_manager)

    monkeypatch.setattr(TinyDownload, "_split_generators", prepare_meanwhile)
    monkeypatch.setattr(TinyDownload, "url", torn_download)
    with pytest.raises(DatasetError, match="could not be prepared"):
        load_splits("tiny_download", data_dir=tmp_path)
    assert files_below(tmp_path) == sorted(map(str, others))
    assert list((tmp_path / "downloads").rglob("*.tmp.*")) == [others[1].parent]
