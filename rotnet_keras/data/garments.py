"""Drawn garments: a stand-in with Fashion-MNIST's form, for places where its data cannot be had.

Each garment is a distance function over a grid of coordinates: positive inside, negative outside.
Unions and intersections are maxima and minima, as usual for such functions, and a soft threshold
gives antialiased edges. All images of a class are drawn at once, with their own random
proportions, cloth and light. It is *not* real data: results on it say that the code works, and
nothing about how well the method does.
"""

from __future__ import annotations

import numpy as np

from rotnet_keras._base.door import public
from rotnet_keras._base.values import Count, Seed

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SIZE = 28
_CHUNK = 2000  # images drawn at once: bounds the memory


@public()
def draw_garments(num_images: Count, *, seed: Seed = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw a labelled set of garments with equally many of each class.

    Args:
        num_images: how many; the first `num_images % 10` classes get one more.
        seed: of all random proportions, textures and the order.

    Returns:
        `(images, labels)`: uint8 `(num_images, 28, 28, 1)`, 0..255, and int32 `(num_images,)`.

    Raises:
        InputError: `num_images` is below 1, or `seed` out of its range.

    Example:
        >>> images, labels = draw_garments(100, seed=0)
        >>> images.shape, np.bincount(labels).tolist()
        ((100, 28, 28, 1), [10, 10, 10, 10, 10, 10, 10, 10, 10, 10])
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(num_images, dtype="int32") % len(CLASS_NAMES)
    images = np.empty((num_images, SIZE, SIZE, 1), "uint8")
    for label, outline in enumerate(_OUTLINES):
        rows = np.flatnonzero(labels == label)
        for chunk in np.array_split(rows, -(-len(rows) // _CHUNK) if len(rows) else 1):
            images[chunk, :, :, 0] = _draw_class(outline, rng, len(chunk))
    order = rng.permutation(num_images)
    return images[order], labels[order]


def _draw_class(outline, rng, count):
    u, v = _coordinates(rng, count)
    shape, marks = outline(rng, u, v)
    cloth = _cloth(rng, u, v) * (1 - 0.6 * _soft(marks))
    pixels = 255 * _soft(shape) * cloth + rng.normal(0, 9, u.shape).astype("float32")
    return np.clip(pixels, 0, 255).astype("uint8")


def _coordinates(rng, count):
    """Coordinates -1..1, u to the right and v down, a little shifted, scaled, tilted per image."""
    axis = ((np.arange(SIZE) + 0.5) / SIZE * 2 - 1).astype("float32")
    x, y = axis[None, None, :], axis[None, :, None]
    scale = _draw(rng, count, 0.95, 1.3)
    tilt = _draw(rng, count, -0.16, 0.16)
    x, y = x - _draw(rng, count, -0.12, 0.12), y - _draw(rng, count, -0.12, 0.12)
    return scale * (x + tilt * y), scale * (y - tilt * x)


def _cloth(rng, u, v):
    """Brightness 0..1: a base tone, light from one side, and stripes of any direction."""
    count = len(u)
    angle, frequency = _draw(rng, count, 0, np.pi), _draw(rng, count, 4, 18)
    wave = np.sin(frequency * (u * np.cos(angle) + v * np.sin(angle)) + _draw(rng, count, 0, 6.3))
    striped = _draw(rng, count, 0, 1) < 0.45
    base = _draw(rng, count, 0.3, 0.95)
    light = _draw(rng, count, -0.2, 0.2) * u + _draw(rng, count, -0.15, 0.15) * v
    return np.clip(base + light + striped * _draw(rng, count, 0.05, 0.35) * wave, 0.08, 1)


def _draw(rng, count, low, high):
    """One uniform number an image, shaped to broadcast over its pixels."""
    return rng.uniform(low, high, (count, 1, 1)).astype("float32")


def _soft(distance):
    return np.clip(distance * SIZE / 2 + 0.5, 0, 1)


def _union(*shapes):
    return np.maximum.reduce(np.broadcast_arrays(*shapes))


def _both(*shapes):
    return np.minimum.reduce(np.broadcast_arrays(*shapes))


def _between(x, low, high):
    return np.minimum(x - low, high - x)


def _ellipse(u, v, centre_u, centre_v, radius_u, radius_v):
    ratio = np.sqrt(((u - centre_u) / radius_u) ** 2 + ((v - centre_v) / radius_v) ** 2)
    return (1 - ratio) * np.minimum(radius_u, radius_v)


def _limb(u, v, start, angle, length, radius):
    """A capsule: all points within `radius` of a line that leaves `start` at `angle` from down."""
    x, y = u - start[0], v - start[1]
    du, dv = np.sin(angle), np.cos(angle)
    along = np.clip(x * du + y * dv, 0, length)
    return radius - np.hypot(x - along * du, y - along * dv)


def _upper_body(rng, u, v, *, sleeve, hem, flare=(-0.02, 0.06)):
    """Torso, neckline and two sleeves; `sleeve`, `hem` and `flare` are ranges to draw from."""
    count, side = len(u), np.abs(u)
    top, hem = _draw(rng, count, -0.85, -0.7), _draw(rng, count, *hem)
    waist = _draw(rng, count, 0.32, 0.5)
    torso = _both(waist + _draw(rng, count, *flare) * (v - top) - side, _between(v, top, hem))
    arm = _limb(
        side,
        v,
        (waist - 0.1, top + 0.14),
        _draw(rng, count, 0.15, 0.75),
        _draw(rng, count, *sleeve),
        _draw(rng, count, 0.1, 0.16),
    )
    neck = _ellipse(u, v, 0, top, _draw(rng, count, 0.12, 0.25), _draw(rng, count, 0.06, 0.3))
    return _both(_union(torso, arm), -neck), top, hem


def _nothing(u):
    return np.full((len(u), 1, 1), -1, "float32")


def _line(rng, u, v, top, hem):
    """A thin vertical line, the front of a coat or the buttons of a shirt."""
    return _both(_draw(rng, len(u), 0.02, 0.06) - np.abs(u), _between(v, top, hem))


def _t_shirt(rng, u, v):
    shape, _, _ = _upper_body(rng, u, v, sleeve=(0.1, 0.5), hem=(0.45, 0.85))
    return shape, _nothing(u)


def _pullover(rng, u, v):
    shape, _, hem = _upper_body(rng, u, v, sleeve=(0.75, 1.2), hem=(0.45, 0.8))
    return shape, _between(v, hem - 0.12, hem - 0.06)


def _dress(rng, u, v):
    options = {"sleeve": (0.0, 0.35), "hem": (0.75, 1.0), "flare": (-0.12, 0.25)}
    shape, top, _ = _upper_body(rng, u * 1.5, v, **options)
    waist = top + _draw(rng, len(u), 0.5, 0.9)
    return shape, _between(v, waist, waist + _draw(rng, len(u), -0.05, 0.08))


def _coat(rng, u, v):
    shape, top, hem = _upper_body(rng, u, v, sleeve=(0.75, 1.25), hem=(0.6, 0.95))
    return shape, _line(rng, u, v, top, hem)


def _shirt(rng, u, v):
    shape, top, hem = _upper_body(rng, u, v, sleeve=(0.15, 1.15), hem=(0.5, 0.9))
    return shape, _line(rng, u, v, top, hem - _draw(rng, len(u), 0, 1.1))


def _trouser(rng, u, v):
    count, side = len(u), np.abs(u)
    top, hem = _draw(rng, count, -0.95, -0.75), _draw(rng, count, 0.6, 0.98)
    crotch = top + _draw(rng, count, 0.3, 0.6)
    outer = _draw(rng, count, 0.26, 0.42) + _draw(rng, count, -0.05, 0.14) * (v - top)
    gap = _draw(rng, count, 0.05, 0.2) * (v - crotch)
    legs = _both(outer - side, _union(crotch - v, side - gap), _between(v, top, hem))
    return legs, _between(v, top + 0.08, top + 0.08 + _draw(rng, count, -0.05, 0.08))


def _shoe(rng, u, v, *, shaft, ankle):
    """Side view, toe to the left: a sole, a rising upper and a shaft at the heel."""
    count = len(u)
    sole = _draw(rng, count, 0.35, 0.6)
    length, thick = _draw(rng, count, 0.75, 0.95), _draw(rng, count, 0.06, 0.2)
    toe = sole - _draw(rng, count, 0.15, 0.32)
    heel = sole - _draw(rng, count, *shaft)
    ankle = _draw(rng, count, *ankle)
    rise = 1 / (1 + np.exp(-(u - ankle) / _draw(rng, count, 0.04, 0.2)))
    upper = _both(v - (toe + (heel - toe) * rise), sole - v, _between(u, -length, length))
    shape = _union(upper, _both(_between(v, sole, sole + thick), _between(u, -length, length)))
    return shape, _between(v, sole - 0.02, sole + 0.06), (sole, length)


def _sneaker(rng, u, v):
    shape, marks, _ = _shoe(rng, u, v, shaft=(0.4, 0.85), ankle=(-0.25, 0.35))
    return shape, marks


def _ankle_boot(rng, u, v):
    shape, marks, _ = _shoe(rng, u, v, shaft=(0.75, 1.35), ankle=(-0.2, 0.3))
    return shape, marks


def _sandal(rng, u, v):
    shape, _, (sole, length) = _shoe(rng, u, v, shaft=(0.4, 1.0), ankle=(-0.2, 0.4))
    count = len(u)
    spacing = _draw(rng, count, 5, 10)
    straps = np.sin(spacing * (u + _draw(rng, count, -0.8, 0.8) * v) + _draw(rng, count, 0, 6.3))
    openings = _both((straps - _draw(rng, count, -0.3, 0.35)) * 0.15, sole - 0.06 - v)
    wedge = _both(v - sole + 0.08, (u + length) * _draw(rng, count, 0, 0.3) - (v - sole - 0.1))
    wedge = _both(wedge, _between(u, -length, length))
    return _union(_both(shape, -openings), wedge), _nothing(u)


def _bag(rng, u, v):
    count = len(u)
    width, top = _draw(rng, count, 0.5, 0.9), _draw(rng, count, -0.35, 0.1)
    bottom = _draw(rng, count, 0.5, 0.85)
    slope = _draw(rng, count, -0.15, 0.25)
    body = _both(width + slope * (v - bottom) - np.abs(u), _between(v, top, bottom))
    reach, height = width * _draw(rng, count, 0.4, 0.95), _draw(rng, count, 0.3, 0.75)
    ring = 0.07 - np.abs(_ellipse(u, v, 0, top, reach, height))
    flap = top + _draw(rng, count, 0.1, 0.35)
    return _union(body, _both(ring, top - v + 0.05)), _between(v, flap, flap + 0.07)


_OUTLINES = (
    _t_shirt,
    _trouser,
    _pullover,
    _dress,
    _coat,
    _sandal,
    _shirt,
    _sneaker,
    _bag,
    _ankle_boot,
)
