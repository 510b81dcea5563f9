"""The public door: what a function takes stands beside each argument, and is checked there, once.

    @public(one_label_an_image)
    def accuracy(model: Classifier, images: Images, labels: Labels) -> float:

`Classifier`, `Images` and `Labels` are `Annotated` types whose note is a check: a function of the
argument's name and value that returns a clean value, or raises `InputError`. A relation such as
`one_label_an_image` looks at several arguments, by their names. A `Literal` needs no check of its
own, and None passes where the annotation has it.

A call that comes from within the package has clean values already, and nothing is looked at again.
(scikit-learn skips nested validation in the same way; its constraints stand in a dictionary above
the function, where neither an editor nor the signature shows them. `pydantic.validate_call` reads
annotations, but has no relations, calls an argument that was given by its place "0", and copies
lists.)
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import check_choice

PACKAGE = __name__.partition(".")[0]
F = TypeVar("F", bound=Callable[..., Any])


def public(
    *relations: Callable[..., Any], earlier: Mapping[str, str] = types.MappingProxyType({})
) -> Callable[[F], F]:
    """Check a function's arguments by their annotations, then by relations between them.

    Args:
        relations: functions whose parameters are named like some of the arguments. They raise, or
            return None, or a dictionary of arguments to put in the place of those that came in.
        earlier: names that arguments once had, and what they are called now.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        *_, owner, name = ["", *function.__qualname__.split(".")]
        name = owner if name == "__init__" else name  # what the caller has typed

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if _is_inside(sys._getframe(1).f_globals.get("__name__", "")):
                return function(*args, **kwargs)
            try:
                for old in [*filter(earlier.__contains__, kwargs)]:
                    kwargs = _renamed(kwargs, old, earlier[old])
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                _check(bound.arguments, constraints(function), relations)
                return function(*bound.args, **bound.kwargs)
            except InputError as error:
                error.function = name
                raise

        checked.relations = relations  # type: ignore[attr-defined]
        # Where a traced function calls it, TensorFlow shall not rewrite it: that hides the caller.
        checked.autograph_info__ = None  # type: ignore[attr-defined]
        return typing.cast(F, checked)

    return decorate


def _renamed(given, old, new):
    """The arguments given by name, one of them under what it is called now."""
    if new in given:
        raise InputError(f"{new} must be given once, got {old} beside it, its earlier name")
    return {new if name == old else name: value for name, value in given.items()}


def _is_inside(module: str) -> bool:
    """Whether a module hands on clean values; the command line hands on what was typed."""
    package, _, rest = module.partition(".")
    return package == PACKAGE and rest.partition(".")[0] != "cli"


def _check(arguments, checks, relations):
    for name, check in checks.items():
        arguments[name] = check(name, arguments[name])
    for relation in relations:
        names = inspect.signature(relation).parameters
        arguments |= relation(**{name: arguments[name] for name in names}) or {}


@functools.cache
def constraints(function: Callable[..., Any]) -> dict[str, Callable[[str, Any], Any]]:
    """The check of each argument that has one, by the argument's name."""
    hints = typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    checks = {name: _check_of(hint) for name, hint in hints.items() if name != "return"}
    return {name: check for name, check in checks.items() if check is not None}


def _check_of(hint):
    """The check that an annotation asks for, or None."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = typing.get_args(hint)
        checks = [check for check in map(_check_of, parts) if check is not None]
        if len(checks) > 1:
            raise TypeError(f"one check an argument, got {hint}")
        if not checks or type(None) not in parts:
            return checks[0] if checks else None
        return functools.partial(_unless_none, checks[0])
    if typing.get_origin(hint) is Literal:
        return functools.partial(check_choice, known=typing.get_args(hint))
    if typing.get_origin(hint) is Annotated:
        return next((note for note in hint.__metadata__ if callable(note)), None)
    return None


def _unless_none(check, name, value):
    return None if value is None else check(name, value)
