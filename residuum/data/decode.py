"""One image file to pixels. No decoder is reached but those of the formats named here."""

import io
import warnings

import numpy as np

from ..errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MOST_PIXELS = 50_000_000
RULES = 1  # raised when the same bytes become other pixels by a change here


def decoding() -> tuple[object, ...]:
    """What the pixels depend on beside the bytes: our rules and the decoders' versions."""
    from PIL import __version__, features

    libraries = ("jpg", "libjpeg_turbo", "zlib", "webp")
    return (RULES, __version__, *(features.version(name) for name in libraries))


def decode(content: bytes, where: str, image_size: int | None = None) -> np.ndarray:
    """(H, W, 3) uint8; `image_size` scales the short side, up or down, and crops the centre.

    DataError with the file's name: not an image of an allowed format, cut short, or too large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused below, or of broken EXIF
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            width, height = image.size
            if width * height > MOST_PIXELS:
                large = f"{width}x{height} pixels, more than {MOST_PIXELS}"
                raise DataError(f"{where}: {large}; refused unread")
            if getattr(image, "n_frames", 1) > 1:
                raise DataError(f"{where}: an animation; only single images are read")
            image.load()
            if image.mode.startswith("I"):  # 16 bits a pixel
                upper = np.asarray(image).astype(np.int64) >> 8
                image = Image.fromarray(upper.clip(0, 255).astype(np.uint8))
            image = ImageOps.exif_transpose(image).convert("RGB")
            if image_size:
                image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)
            return np.asarray(image)
    except DataError:
        raise
    except UnidentifiedImageError as error:  # its own message names an object of ours
        raise DataError(f"{where}: broken image (of no known format)") from error
    except Exception as error:  # a decoder may raise anything on hostile bytes
        raise DataError(f"{where}: broken image ({error})") from error
