"""The pretext tasks, by name; the command line's help waits for nothing else to know them."""

from __future__ import annotations

from typing import Literal, get_args

Pretext = Literal["rotation", "contrast", "rotation + contrast"]
PRETEXTS = get_args(Pretext)
NONE = "none"  # that of an arm that does without
