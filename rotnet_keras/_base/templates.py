"""Texts from the package's templates: pages of HTML, and cards."""

from __future__ import annotations

import jinja2

from rotnet_keras._base.files import printable


def render(wing, template, *, filters=None, **values):
    """Fill in a template of a wing; texts are escaped in HTML, and no value may be missing."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(f"rotnet_keras.{wing}"),
        autoescape=lambda name: not name.endswith(".md"),
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    # Bokeh's parts refer to parts that stand before them, so their order must stay.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment.get_template(template).render(values)
