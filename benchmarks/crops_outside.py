"""How much of a photograph the stored centre square hides from random resized crops.

`python -m benchmarks.crops_outside`: the share of a photograph's area that lies outside the square,
and the share of torchvision's RandomResizedCrop windows (area 0.08 to 1, ratio 3/4 to 4/3), as the
authors of the ImageNet networks draw them from whole photographs, that reach outside it.
"""

from __future__ import annotations

import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop

SIZES = ((500, 375), (500, 333), (640, 480), (400, 400), (300, 900))
DRAWS = 100_000


def outside(width: int, height: int) -> tuple[float, float]:
    """Percent of the area, and of the windows, outside the centre square."""
    shorter = min(width, height)
    left, top = (width - shorter) // 2, (height - shorter) // 2
    image, reaching = Image.new("L", (width, height)), 0
    for _ in range(DRAWS):
        y, x, h, w = RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3])
        inside = left <= x and x + w <= left + shorter and top <= y and y + h <= top + shorter
        reaching += not inside
    return 100 * (1 - shorter**2 / (width * height)), 100 * reaching / DRAWS


def main() -> None:
    """Print a table."""
    torch.manual_seed(0)
    print("| photograph | never seen | authors' windows that reach outside |\n|---|---|---|")
    for width, height in SIZES:
        area, windows = outside(width, height)
        print(f"| {width} x {height} | {area:.0f} % | {windows:.0f} % |")


if __name__ == "__main__":
    main()
