"""Checks beside arguments: what the door lets through, what it says, and when it looks."""

from __future__ import annotations

import inspect
from typing import Annotated, Literal

import numpy as np
import pytest

import rotnet_keras
from rotnet_keras import InputError, attach_head, two_conv_extractor
from rotnet_keras._base.door import constraints, public
from rotnet_keras._base.values import Count, Seed


def longer(first, second):
    if first <= second:
        raise InputError(f"first must be more than second, got {first} and {second}")
    return {"first": float(first)}


def even(name, value):
    if value % 2:
        raise InputError(f"{name} must be even, got {value}")
    return value


@public(longer)
def shorten(
    first: Count,
    second: Annotated[int, even] | None = None,
    *,
    how: Literal["up", "down"] = "up",
    seed: Seed = 0,
    **other: object,
) -> tuple:
    return first, second, how, seed, other


@public()
def nested(value: Count) -> int:
    return inner(value)


def inner(value):
    raise InputError(f"value must be another, got {value}")


def test_clean_values_come_in():
    assert shorten(3, 2, seed=np.uint8(7), more=1) == (3.0, 2, "up", 7, {"more": 1})
    assert type(shorten(3, 2, seed=np.uint8(7))[3]) is int


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"first": 0, "second": 2}, "first must be a whole number of at least 1, got 0"),
        ({"first": True, "second": 2}, "first must be a whole number of at least 1, got True"),
        ({"first": 3, "second": 1}, "second must be even, got 1"),
        ({"first": 3, "second": 2, "how": "in"}, "how must be one of ('up', 'down'), got 'in'"),
        ({"first": 2, "second": 4}, "first must be more than second, got 2 and 4"),
    ],
)
def test_an_error_names_function_and_argument(arguments, said):
    with pytest.raises(InputError) as refusal:
        shorten(**arguments)
    assert str(refusal.value) == f"shorten: {said}"
    assert refusal.value.said == said
    assert isinstance(refusal.value, ValueError)


def test_an_error_from_inside_names_the_function_that_was_called():
    with pytest.raises(InputError, match=r"^nested: value must be another, got 4$"):
        nested(4)


def test_none_passes_where_the_annotation_has_it():
    @public()
    def take(number: Count | None) -> object:
        return number

    assert take(None) is None
    with pytest.raises(InputError, match="number must be"):
        take(0)


def test_missing_and_unknown_arguments_are_pythons_own_errors():
    with pytest.raises(TypeError, match="missing a required argument: 'first'"):
        shorten()
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        nested(1, epoch=2)


def test_calls_from_within_the_package_are_not_looked_at(monkeypatch):
    """The main job calls public functions by the hundred; one look at the door is enough."""
    monkeypatch.setitem(globals(), "__name__", "rotnet_keras.somewhere")
    assert shorten(0, 1, how="in") == (0, 1, "in", 0, {})


def test_calls_from_the_command_line_are_looked_at(monkeypatch):
    monkeypatch.setitem(globals(), "__name__", "rotnet_keras.cli.jobs")
    with pytest.raises(InputError, match="first must be"):
        shorten(0, 1)


def test_an_earlier_name_is_taken_and_checked_like_the_new_one():
    @public(earlier={"old": "new"})
    def take(*, new: Count | None = None) -> int | None:
        return new

    assert (take(old=np.int64(2)), take(new=2), take()) == (2, 2, None)
    with pytest.raises(InputError, match="take: new must be a whole number of at least 1, got 0"):
        take(old=0)
    with pytest.raises(InputError, match="take: new must be given once, got old beside it"):
        take(old=1, new=1)


def test_signature_and_docstring_stay():
    assert [*inspect.signature(rotnet_keras.accuracy).parameters] == ["model", "images", "labels"]
    assert rotnet_keras.accuracy.__name__ == "accuracy"


def test_no_argument_has_two_checks():
    def twice(value: Count | Seed) -> None: ...

    with pytest.raises(TypeError, match="one check an argument"):
        constraints(twice)


def test_every_public_function_has_the_door():
    functions = [getattr(rotnet_keras, name) for name in rotnet_keras.__all__]
    for function in filter(inspect.isfunction, functions):
        assert hasattr(function, "relations"), function.__name__


def test_a_classifier_of_real_images_goes_through():
    model = attach_head(two_conv_extractor((12, 12, 1)), 2)
    images = np.zeros((2, 12, 12, 1), "uint8").tolist()
    assert 0 <= rotnet_keras.accuracy(model, images, [0, 1]) <= 1
    with pytest.raises(InputError, match=r"^accuracy: labels must lie in 0\.\.1, "):
        rotnet_keras.accuracy(model, images, [0, 5])
