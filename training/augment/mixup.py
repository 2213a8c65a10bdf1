"""mixup (arXiv 1710.09412): two images are added, and their labels with the same weights.

x = lam x1 + (1 - lam) x2, y = lam y1 + (1 - lam) y2, lam ~ Beta(alpha, alpha). One lam a batch, as
in the authors' code (facebookresearch/mixup-cifar10).
"""

from random import Random


def kept_share(alpha: float, rng: Random) -> float:
    """Draw lam, the share that an image keeps of itself."""
    return rng.betavariate(alpha, alpha)
