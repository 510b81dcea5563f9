"""Processes: stopping at once, watching a child, and what is said of errors."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import traceback
import warnings

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.names import printable, printable_lines
from rotnet_keras.cli.first_look import look_first
from rotnet_keras.cli.typed import in_options, suggesting, typed_command

WATCHED = "ROTNET_KERAS_WATCHED"
ONE_HOST = (
    "rotnet_keras: only `pretrain` runs on several hosts: unset the variables that name them, such "
    "as JAX_COORDINATOR_ADDRESS, for this job"
)
LOST = 75  # "try again later", of sysexits.h: another process of the run is gone


def run_job(job, arguments, options):
    """Do a job; what the user can mend becomes one line, and a trace only if it is asked for."""
    try:
        with _short_warnings(options.parser.spelt):
            look_first(options)
            job(options)
    except InputError as error:  # whatever else is a fault in the program keeps its trace
        if options.traceback:
            traceback.print_exc()
        print(
            f"rotnet_keras: {_in_short(in_options(suggesting(error.said), options.parser.spelt))}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(_how_to_go_on(arguments), file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


@contextlib.contextmanager
def _short_warnings(spelt):
    """Within it, a warning is one line, as an error is, without the place in the program."""
    before = warnings.formatwarning

    def format_warning(said, *_, **__):
        return f"rotnet_keras: {in_options(printable_lines(said), spelt)}\n"

    warnings.formatwarning = format_warning
    try:
        yield
    finally:
        warnings.formatwarning = before


def _in_short(said):
    """One line, and, of files that cannot be read, a line for each."""
    first, *files = said.split("\n  ")
    return "\n  ".join([" ".join(part.split()) for part in (first, *files)])


def stop_when_told(arguments):
    """From now on, end at once at Ctrl-C or SIGTERM, with one line that says how to go on.

    Python raises KeyboardInterrupt only between two of its own steps, which may be a minute apart
    while TensorFlow or JAX compile, and libraries may catch it. Whatever is finished is in whole
    files at any moment, so nothing has to be tidied up.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)  # written to at once, whatever the main thread is at
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

    def stop():
        number = os.read(reader, 1)[0]
        if WATCHED not in os.environ:  # else the watching process says it
            os.write(2, f"{_how_to_go_on(arguments)}\n".encode())
        os._exit(128 + number)

    threading.Thread(target=stop, daemon=True).start()


def _how_to_go_on(arguments):
    typed = printable(typed_command(arguments))
    return f"\nrotnet_keras: stopped; to go on, start it again: {typed}"


def watch(arguments, options):
    """Run this process of several in a child: JAX aborts, without a word that a user would
    understand, where another one is lost, and that can only be said from outside.
    """
    command = [sys.executable, "-m", "rotnet_keras", *arguments]
    watched = os.environ | {WATCHED: "1"}
    with subprocess.Popen(command, env=watched, stdin=subprocess.PIPE) as child:
        status = child.wait()
    if status in (LOST, -signal.SIGABRT):
        print(
            "rotnet_keras: another process of this run stopped or cannot be reached, as far as JAX "
            "can tell; what it says is above. Start all of them again with the same options: they "
            f"go on from the last epoch in {printable(options.output)}",
            file=sys.stderr,
        )
        return LOST
    return 128 - status if status < 0 else status


def be_watched(job, arguments, options):
    """Be the child of `watch`; after an error leave at once, since JAX would wait for minutes for
    the other processes, which wait for this one.
    """
    threading.Thread(target=_stop_with_watcher, daemon=True).start()
    try:
        status = run_job(job, arguments, options)
    except Exception as error:
        traceback.print_exc()
        status = LOST if _lost_another(error) else 1
    if status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _stop_with_watcher():
    """End when the watching process does, which closes the pipe that is this one's input."""
    while os.read(0, 1):  # not sys.stdin, whose lock would spoil an ordinary end
        pass
    os._exit(LOST)


def hosts_are_set():
    from rotnet_keras.running.hosts import HOST_VARIABLES

    return any(name in os.environ for name in HOST_VARIABLES[0])


def _lost_another(error):
    """Whether JAX could not go on since another process is gone."""
    said = f"{type(error).__name__}: {error}".lower()
    signs = ("gloo", "coordination", "heartbeat", "unavailable:", "aborted:")
    return any(sign in said for sign in signs)
