"""What this package uses of Keras beyond its documented interface, and nowhere else."""

from __future__ import annotations


def all_layers(model):
    """Every layer of a model, those of models within it too."""
    return list(model._flatten_layers())


def compile_again(model, optimizer):
    """Compile a model as it was, its very losses and metrics, with another optimiser.

    Keras's `compile_from_config` looks functions up by their names, and does not find one's own.
    """
    model.compile(**(model._compile_config.config | {"optimizer": optimizer}))


def take_seeds_from(layer, choose):
    """Have a random layer ask `choose(own)` for its source of seeds, `own` being Keras's function.

    It is where Keras's random preprocessing layers (3.12 to 3.15) get their seeds, whatever backend
    calls them.
    """
    own = layer._get_seed_generator
    layer._get_seed_generator = lambda backend=None: choose(lambda: own(backend))


def is_functional(model):
    """Whether a model knows the graph of its layers, as models of the functional API do."""
    return hasattr(model, "_run_through_graph")


def run_on(model, x):
    """A functional model's output on another tensor, made of its very layers.

    Called on a tensor, a model becomes one nested layer, whose parts cannot be cut at by name.
    """
    return model._run_through_graph(x, operation_fn=lambda operation: operation)
