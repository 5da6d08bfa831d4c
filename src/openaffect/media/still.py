"""Still images as one-frame clips."""

from pathlib import Path

import numpy as np

from openaffect.errors import MediaError
from openaffect.media.geometry import capped_size
from openaffect.media.limits import Limits

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # Pillow's names; GIF is read as video
_MARKS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")
_MARK_BYTES = 12


def is_still(path: Path) -> bool:
    """Whether the first bytes are those of an image format that is read here."""
    with path.open("rb") as file:
        head = file.read(_MARK_BYTES)
    return head.startswith(_MARKS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def image_size(path: Path, limits: Limits) -> tuple[str, int, int]:
    """Format name in lower case, upright width and height, from the header alone."""
    from PIL import ExifTags

    with _opened(path, limits) as image:
        width, height = image.size
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        if turned:
            width, height = height, width
        return str(image.format).lower(), width, height


def read_image(path: Path, max_side: int, limits: Limits) -> np.ndarray:
    """The upright picture (H, W, 3) uint8 RGB, scaled down to max_side where it is larger.

    Transparent parts are shown on white; of an animated image the first picture is taken.
    """
    from PIL import Image, ImageOps

    with _opened(path, limits) as image:
        if image.format == "JPEG":  # decode at a fraction of the size where that is enough
            image.draft("RGB", capped_size(image.width, image.height, max_side))
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith(("I;16", "I")):  # 16-bit grey; a plain convert would clip it
            grey = np.asarray(upright, dtype=np.float64) / 257.0
            upright = Image.fromarray(grey.clip(0, 255).round().astype(np.uint8))
        if upright.has_transparency_data:
            layer = upright.convert("RGBA")
            upright = Image.new("RGBA", layer.size, "white")
            upright.alpha_composite(layer)
        rgb = upright.convert("RGB")
        size = capped_size(*rgb.size, max_side)
        if size != rgb.size:
            rgb = rgb.resize(size, Image.Resampling.BICUBIC)
        return np.array(rgb)


def _opened(path: Path, limits: Limits):  # type: ignore[no-untyped-def]
    """An opened Pillow image of an allowed format within the pixel limit, not yet decoded."""
    import warnings

    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images; our own limit decides
        try:
            image = Image.open(path, formats=IMAGE_FORMATS)
        except Image.DecompressionBombError as error:
            raise MediaError(
                f"{path}: the image is far over the limit of {limits.max_pixels} pixels; "
                "scale it down first"
            ) from error
    limits.check_pixels(str(path), *image.size)
    return image
