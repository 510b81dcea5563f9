"""Texts from the package's templates: pages of HTML, and cards."""

from __future__ import annotations

import jinja2

from rotnet_keras._files import printable


def render(template, *, filters=None, **values):
    """Fill in a template, in HTML with texts escaped; a value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rotnet_keras"),
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
