"""One file's bytes to one grey square: everything that can be wrong with an image file is met here."""

import io

import numpy as np
from PIL import Image

DECODER = 1  # part of the cache's key: raise it when a change here changes a pixel
MIN_SIDE = 16  # pixels; less is no film
MAX_PIXELS = 64_000_000  # the set's largest film has 8 million, a large modern detector 20 million
MAX_BYTES = 200_000_000
ENDINGS = (".jpeg", ".jpg", ".png")
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_OTHERS = ((b"%PDF", "PDF"), (b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"PK", "zip"))
_TURNS = {  # EXIF orientation -> what sets it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}


class BadImage(Exception):
    """A file that is no usable film; the message completes the sentence "FILE …"."""


def decode(data: bytes, size: int) -> tuple[np.ndarray, dict]:
    """Return one film as uint8 [size, size], grey 0-255, and what the file was: {"width", "height", "mode"}.

    Parameters
    ----------
    data : the file's bytes, a JPEG or PNG of any mode.
    size : pixels a side of the result.

    The film is squashed to a square: its aspect ratio is lost, as it is in the set's common use, so nothing is cropped
    away. Down-scaling is antialiased (each new pixel averages all that it covers). Colour, palette and CMYK files become
    their luminance; transparency is dropped; files of more than 8 bits are stretched from their own least to their
    greatest value. An EXIF orientation is obeyed, so that the film stands as a viewer shows it. `width` and `height` are
    the pixels as stored.

    Raises
    ------
    BadImage for what is empty, no image, truncated, too small (a side under 16 px) or too large (over 64 million pixels).
    A JPEG with a few damaged bytes in its middle passes: the format has no checksum, and its readers draw what they can.
    """
    if not data:
        raise BadImage("is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            _check(image)
            if image.format == "PNG":  # decoding alone passes over damaged pixel data without a word
                image.verify()
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            return _square(image, size)
    except BadImage:
        raise
    except Image.UnidentifiedImageError:
        raise BadImage(f"is not a JPEG or PNG image, whatever its name says{_looks_like(data)}") from None
    except Image.DecompressionBombError:
        raise BadImage(f"has over {MAX_PIXELS / 1e6:.0f} million pixels, more than any film (a decompression bomb?)") from None
    except Exception as error:  # damaged files make Pillow's readers fail in many ways: every one of them is a bad file
        text = str(error) or type(error).__name__
        if "truncated" in text.lower() or "unexpected end" in text.lower():
            raise BadImage("is truncated: its end is missing") from None
        raise BadImage(f"cannot be decoded ({text.splitlines()[0][:80]})") from None


def _check(image):
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise BadImage(f"is {width}×{height} pixels, too small for a film (at least {MIN_SIDE} a side)")
    if width * height > MAX_PIXELS:
        raise BadImage(f"is {width:,}×{height:,} pixels, more than any film (a decompression bomb?)")


def _square(image, size):
    facts = {"width": image.width, "height": image.height, "mode": image.mode}
    turn = _TURNS.get(_orientation(image))
    # A large JPEG is decoded at 1/2, 1/4 or 1/8, never below twice the wanted size: three times as fast, and antialiased.
    image.draft("L", (2 * size, 2 * size))
    image.load()
    if image.mode in _DEEP_MODES:
        values = np.asarray(image, dtype=np.float32)
        low, high = float(values.min()), float(values.max())
        image = Image.fromarray((values - low) * (255.0 / max(high - low, 1e-6)))
    else:
        image = image.convert("L")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    if turn is not None:
        image = image.transpose(turn)
    return np.asarray(image).round().astype(np.uint8), facts


def _orientation(image):
    try:
        return image.getexif().get(0x0112)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return None


def _looks_like(data):
    head = data[:512]
    for start, name in _OTHERS:
        if head.startswith(start):
            return f" (it looks like a {name})"
    if head[128:132] == b"DICM":
        return " (it looks like DICOM)"
    printable = all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head)
    return " (it looks like text)" if printable else ""
