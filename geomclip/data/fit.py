"""How a picture of any shape becomes the square that an image tower takes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Fit:
    """From width x height to size x size.

    Args:
        kind: `letterbox` scales the whole picture in, the border is transparent; `crop` scales its
            shorter side to `resize` pixels and cuts out the middle; `squash` scales both sides.
        resize: of `crop`, pixels, at least size; size when 0.
        resample: how pixels are interpolated.
    """

    kind: Literal["letterbox", "crop", "squash"] = "letterbox"
    resize: int = 0
    resample: Literal["bicubic", "bilinear", "lanczos", "nearest"] = "bicubic"

    def __call__(self, image: "Image", size: int) -> "Image":
        """The picture as RGBA of size x size. Raises ValueError where `resize` is below size."""
        from PIL import Image

        if 0 < self.resize < size and self.kind == "crop":
            raise ValueError(f"Fit: resize must be at least {size}, the side, got {self.resize}")
        # Pillow premultiplies alpha for this: transparent pixels lend their neighbours no colour.
        how = Image.Resampling[self.resample.upper()]
        width, height = image.size
        if self.kind == "squash":
            return image if image.size == (size, size) else image.resize((size, size), how)
        if self.kind == "crop":
            # Sides rounded down, and the middle too, as in transformers.
            short = self.resize or size
            scaled = (
                (short, int(short * height / width))
                if width <= height
                else (int(short * width / height), short)
            )
            if scaled != image.size:
                image = image.resize(scaled, how)
            left, top = (scaled[0] - size) // 2, (scaled[1] - size) // 2
            return image.crop((left, top, left + size, top + size))
        if image.size != (size, size):
            scale = size / max(width, height)
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
            image = image.resize((width, height), how)
        out = Image.new("RGBA", (size, size), (0, 0, 0, 0))
        out.paste(image, ((size - width) // 2, (size - height) // 2))
        return out


LETTERBOX = Fit()
