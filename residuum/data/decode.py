"""One image file to pixels. No decoder is reached but those of the formats named here."""

import io

import numpy as np

from ..errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MOST_PIXELS = 50_000_000


def decode(content: bytes, where: str, image_size: int | None = None) -> np.ndarray:
    """(H, W, 3) uint8.

    DataError with the file's name: not an image of an allowed format, cut short, or too large.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                large = f"{width}x{height} pixels, more than {MOST_PIXELS}"
                raise DataError(f"{where}: {large}; refused unread")
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
    except Exception as error:  # a decoder may raise anything on hostile bytes
        raise DataError(f"{where}: broken image ({error})") from error
