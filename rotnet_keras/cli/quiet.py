"""What TensorFlow and JAX say at their start and of their own work, kept off the terminal."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

# Written to file descriptor 2 by compiled code; `TF_CPP_MIN_LOG_LEVEL` is not heard by all of it.
START_UP = (
    r"All log messages before absl::InitializeLog\(\) is called are written to STDERR",
    r"oneDNN custom operations are on",
    r"This TensorFlow binary is optimized (to use|with) ",
    r"^To enable the following instructions: .*rebuild TensorFlow",
    r"Unable to register cu(DNN|FFT|BLAS) factory",
    r"computation placer already registered",
    r"TF-TRT Warning: Could not find TensorRT",
    r"gpu_device\.cc:\d+\] Created device ",
)
# What is no news where there is no GPU, and is where there is one.
NO_GPU = (
    r"Could not find cuda drivers on your machine",
    r"failed call to cuInit",
    r"kernel driver does not appear to be running",
    r"Cannot dlopen some GPU libraries",
    r"^Skipping registering GPU devices",
)

# A process of its own passes on also what a crash leaves behind, and is not held up by a thread
# that imports, which keeps Python's lock for seconds.
_PASS_ON = """
import re, sys
known = re.compile(sys.argv[1].encode())
for line in iter(sys.stdin.buffer.readline, b""):
    if not known.search(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def prepare_runtime(**options):
    """`rotnet_keras.prepare_runtime`, whose imports say nothing of their own on the terminal."""
    from rotnet_keras.running import runtime

    known = START_UP if runtime.find_accelerator() == "GPU" else START_UP + NO_GPU
    started = "tensorflow" in sys.modules
    with contextlib.nullcontext() if started else lines_left_out(known):
        return runtime.prepare_runtime(**options)


@contextlib.contextmanager
def lines_left_out(known):
    """Within it, file descriptor 2 leads through a filter, which passes on what is not known.

    Lines come out in their order, also where this process is killed meanwhile. Without such a
    descriptor, or where no filter can be started, nothing is left out.
    """
    child = _start_filter(known)
    if child is None:
        yield
        return
    before = os.dup(2)
    _flush()
    os.dup2(child.stdin.fileno(), 2)
    child.stdin.close()
    try:
        yield
    finally:
        _flush()
        os.dup2(before, 2)
        os.close(before)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a process started here still writes
            child.wait(timeout=2)


def _start_filter(known):
    """The process that reads from a pipe and writes to what descriptor 2 is now, or None."""
    try:
        os.fstat(2)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PASS_ON, "|".join(f"({x})" for x in known)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not meant for it
        )
    except OSError:
        return None


def _flush():
    with contextlib.suppress(AttributeError, OSError, ValueError):  # none, closed, or a full disk
        sys.stderr.flush()
