"""Pictures that the tests write, whole and broken."""

import struct
import zlib

import numpy as np
from PIL import Image

RED, GREEN = (200, 0, 0), (0, 200, 0)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(image, "uint8")).save(path, quality=95)
    return path


def in_one_colour(colour, size=(20, 30)):
    return np.full((*size, 3), colour, "uint8")


def break_files(files):
    """Damage files in as many ways as there are; return those that were."""
    ways = [
        lambda content: b"",
        lambda content: b"no picture at all",
        lambda content: content[: len(content) // 2],
        lambda content: content[:20],
        lambda content: content[:8] + b"\0" * (len(content) - 8),
    ]
    for number, file in enumerate(files):
        file.write_bytes(ways[number % len(ways)](file.read_bytes()))
    return files


def make_folder(path):
    """Thirty pictures without labels, eighteen each of red and green, of many sizes."""
    rng = np.random.default_rng(0)
    for i in range(30):
        save(path / "unlabelled" / "deep" / f"{i}.png", rng.integers(0, 256, (9 + i, 20, 3)))
    for i in range(18):
        for name, colour in {"red": RED, "green": GREEN}.items():
            save(path / "labelled" / name / f"{i}.png", in_one_colour(colour, (10 + i, 25)))
    return path


def png(values, bits, transparent=()):
    """A PNG file of levels `(H, W)` or `(H, W, C)`, as bytes; Pillow writes few of its kinds."""
    values = np.asarray(values)
    height, width, *channels = values.shape
    rows = values.reshape(height, -1)
    colour = {(): 0, (3,): 2, (2,): 4, (4,): 6}[tuple(channels)]
    if bits < 8:
        ones = (rows[..., None] >> np.arange(bits)[::-1] & 1).astype("uint8")
        packed = [np.packbits(row) for row in ones.reshape(height, -1)]
    else:
        packed = rows.astype(">u2" if bits == 16 else "u1")
    lines = b"".join(b"\0" + row.tobytes() for row in packed)
    parts = {b"IHDR": struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0)}
    if len(transparent):
        parts[b"tRNS"] = struct.pack(f">{len(transparent)}H", *transparent)
    parts |= {b"IDAT": zlib.compress(lines), b"IEND": b""}
    whole = b"\x89PNG\r\n\x1a\n"
    for name, content in parts.items():
        check = struct.pack(">I", zlib.crc32(name + content))
        whole += struct.pack(">I", len(content)) + name + content + check
    return whole


def tiff(values, order="<", *, compressed=False, white_is_zero=False, orientation=1):
    """A TIFF file of 16 bits a value, grey `(H, W)` or colours `(H, W, 3)`, as bytes.

    Args:
        values: int16 or uint16.
        order: of bytes: "<" or ">".
        compressed: whether it is deflated.
        white_is_zero: whether 0 is called white.
        orientation: how it is to be turned.
    """
    height, width, *channels = values.shape
    samples, content = len(channels) * 2 + 1, values.astype(values.dtype.newbyteorder(order))
    content = zlib.compress(content.tobytes()) if compressed else content.tobytes()
    kind = 2 if channels else 0 if white_is_zero else 1
    tags = {256: width, 257: height, 258: 16, 259: 8 if compressed else 1, 262: kind, 273: 8}
    tags |= {274: orientation, 277: samples, 278: height, 279: len(content)}
    tags |= {339: 2} if values.dtype.kind == "i" else {}
    start = 8 + len(content)
    entries = {tag: struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items()}
    if channels:  # three depths, behind all else
        entries[258] = struct.pack(f"{order}HHII", 258, 3, 3, start + 6 + 12 * len(tags))
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    table = struct.pack(f"{order}H", len(tags)) + b"".join(entries.values()) + bytes(4)
    return head + content + table + struct.pack(f"{order}3H", 16, 16, 16)
