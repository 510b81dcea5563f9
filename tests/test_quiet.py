"""What compiled libraries say at their start stays off the terminal, and nothing else does."""

import logging
import os
import signal
import subprocess
import sys

import pytest

from rotnet_keras.cli import quiet
from rotnet_keras.cli.main import JOBS, main
from rotnet_keras.cli.quiet import NO_GPU, START_UP, lines_left_out
from rotnet_keras.running import runtime

# As TensorFlow 2.16 to 2.21 and JAX write them; what follows a time and a process differs.
STARTED = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "2026-01-02 03:04:05.678901: I tensorflow/core/util/port.cc:153] oneDNN custom operations are "
    "on. You may see slightly different numerical results due to floating-point round-off errors",
    "I0000 00:00:1795709361.212516   32323 cpu_feature_guard.cc:227] This TensorFlow binary is "
    "optimized to use available CPU instructions in performance-critical operations.",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with "
    "the appropriate compiler flags.",
    "E0000 00:00:1795709361.212516   32323 cuda_fft.cc:467] Unable to register cuFFT factory: "
    "Attempting to register factory for plugin cuFFT when one has already been registered",
    "E0000 00:00:1795709361.212516   32323 cuda_dnn.cc:8579] Unable to register cuDNN factory: x",
    "E0000 00:00:1795709361.212516   32323 cuda_blas.cc:1407] Unable to register cuBLAS factory: x",
    "W0000 00:00:1795709361.212516   32323 computation_placer.cc:177] computation placer already "
    "registered. Please check linkage and avoid linking the same target more than once.",
    "2026-01-02 03:04:05.678901: W tensorflow/compiler/tf2tensorrt/utils/py_utils.cc:38] TF-TRT "
    "Warning: Could not find TensorRT",
    "I0000 00:00:1795709361.212516   32323 gpu_device.cc:2020] Created device /job:localhost/"
    "replica:0/task:0/device:GPU:0 with 13949 MB memory",
]
GPU_MISSED = [
    "I0000 00:00:1795709361.106194   32323 cudart_stub.cc:31] Could not find cuda drivers on your "
    "machine, GPU will not be used.",
    "E0000 00:00:1795709367.121851   32323 cuda_platform.cc:52] failed call to cuInit: INTERNAL: "
    "CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)",
    "I0000 00:00:1795709367.121851   32323 cuda_diagnostics.cc:160] kernel driver does not appear "
    "to be running on this host (here): /proc/driver/nvidia/version does not exist",
    "W0000 00:00:1795709367.121851   32323 gpu_device.cc:2341] Cannot dlopen some GPU libraries.",
    "Skipping registering GPU devices...",
]
OTHERS = [
    "Fatal Python error: Segmentation fault",
    "ModuleNotFoundError: No module named 'tensorflow'",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "F0000 00:00:1795709361.212516   32323 cpu_feature_guard.cc:99] The TensorFlow library was "
    "compiled to use AVX512F instructions, but these aren't available on your machine.",
    "ä \\ odd",
    "",
]
PROGRAM = """
import os, sys
from rotnet_keras.cli.quiet import START_UP, lines_left_out
start = sys.argv[1].encode() + b"\\n"
with lines_left_out(START_UP):
    os.write(2, start + b"within\\n" + start)
    {within}
os.write(2, start + b"after\\n")
"""


def said_by(within, **how):
    """The status and standard error of a process that does something in the midst of its start."""
    command = [sys.executable, "-c", PROGRAM.format(within=within), STARTED[0]]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **how)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("known", "hidden"), [(START_UP, STARTED), (START_UP + NO_GPU, STARTED + GPU_MISSED)]
)
def test_known_lines_alone_are_left_out(known, hidden, capfd):
    lines = [*STARTED, *OTHERS, *GPU_MISSED]
    with lines_left_out(known):
        os.write(2, "".join(f"{line}\n" for line in lines).encode())
    assert capfd.readouterr().err.splitlines() == [line for line in lines if line not in hidden]


def test_after_it_everything_is_said_again():
    assert said_by("pass") == (0, f"within\n{STARTED[0]}\nafter\n")


def test_one_within_another(capfd):
    with lines_left_out(NO_GPU), lines_left_out(START_UP):
        os.write(2, "\n".join([STARTED[0], "kept", GPU_MISSED[0], "unended"]).encode())
    os.write(2, b", after\n")
    assert capfd.readouterr().err == "kept\nunended, after\n"


def test_an_error_goes_on_its_way():
    status, said = said_by("raise ValueError('fault')")
    assert status == 1
    assert said.startswith("within\nTraceback (most recent call last):\n")
    assert said.endswith("\nValueError: fault\n")


@pytest.mark.parametrize(
    ("within", "status"),
    [
        ("os.write(2, b'last words'); os._exit(3)", 3),
        ("os.write(2, b'last words'); os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os.write(2, b'last words'); os.abort()", -signal.SIGABRT),
    ],
)
def test_a_crash_has_its_last_words(within, status):
    assert said_by(within) == (status, "within\nlast words")


def test_a_crash_is_traced():
    status, said = said_by("import faulthandler; faulthandler.enable(); os.abort()")
    assert status == -signal.SIGABRT
    assert said.startswith("within\nFatal Python error: Aborted\n")


def test_much_is_passed_on_while_a_thread_keeps_pythons_lock():
    """More than a pipe holds: compiled code that writes in an import waits for nobody here."""
    keeping = "import ctypes; ctypes.PyDLL(None).write(2, b'-' * 2**20 + b'\\n', 2**20 + 1)"
    assert said_by(keeping) == (0, f"within\n{'-' * 2**20}\n{STARTED[0]}\nafter\n")


def test_without_standard_error_the_work_is_done():
    program = PROGRAM.format(within="pass").replace("os.write(2", "print(2")
    command = [sys.executable, "-c", program, "x"]
    how = {"stdout": subprocess.PIPE, "preexec_fn": lambda: os.close(2)}
    done = subprocess.run(command, text=True, check=True, **how)
    assert done.stdout.splitlines() == [r"2 b'x\nwithin\nx\n'", r"2 b'x\nafter\n'"]


def test_where_no_filter_can_be_started(monkeypatch, capfd):
    monkeypatch.setattr(sys, "executable", "nowhere/python")
    with lines_left_out(START_UP):
        os.write(2, STARTED[0].encode())
    assert capfd.readouterr().err == STARTED[0]


@pytest.mark.parametrize(("accelerator", "shown"), [("CPU", 0), ("GPU", len(GPU_MISSED))])
def test_a_gpu_that_cannot_be_used_is_said(accelerator, shown, monkeypatch, capfd):
    def say_all(**options):
        os.write(2, "".join(f"{line}\n" for line in [*STARTED, *GPU_MISSED]).encode())
        return options

    monkeypatch.setattr(runtime, "prepare_runtime", say_all)
    monkeypatch.setattr(runtime, "find_accelerator", lambda: accelerator)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    assert quiet.prepare_runtime(seed=3) == {"seed": 3}
    assert capfd.readouterr().err.splitlines() == GPU_MISSED[:shown]


@pytest.mark.slow
def test_the_command_line_starts_without_a_word_of_tensorflows(tmp_path):
    command = [sys.executable, "-m", "rotnet_keras", "study", "--rotations", "0", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "Keras on " in done.stdout  # so TensorFlow had been imported
    (line,) = done.stderr.splitlines()
    assert line.startswith("rotnet_keras: --rotations must be ")


RETRACED = (
    "5 out of the last 5 calls to <function f at 0x1> triggered tf.function retracing. Tracing is "
    "expensive"
)


@pytest.mark.parametrize("job", ["run", "pretrain", "study"])
def test_jobs_say_nothing_of_retracing(job, monkeypatch, caplog):
    def retrace(options):
        logging.getLogger("tensorflow").warning(RETRACED)
        raise ValueError("fault")

    monkeypatch.setitem(JOBS, job, retrace)
    with pytest.raises(ValueError, match="fault"):
        main([job])
    assert caplog.messages == []
    logging.getLogger("tensorflow").warning(RETRACED)
    assert caplog.messages == [RETRACED]
