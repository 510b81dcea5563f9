from .runtime import (
    prepare_runtime as prepare_runtime,
)
