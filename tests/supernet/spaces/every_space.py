"""Every registered space in a small form, and the ways in which its supernets share weights."""

SMALL_SPACES: dict[str, dict] = {
    "mobilenet-groups": {
        "name": "mobilenet-groups", "image_size": 16, "classes": 5, "width": 0.25,
        "groups": (1, 2, 4), "blocks": ((64, 1), (128, 2), (128, 1)),
    },
    "mobilenet-groups with widths": {
        "name": "mobilenet-groups", "image_size": 16, "classes": 5, "width": 0.25,
        "groups": (1, 2, 4), "blocks": ((64, 1), (128, 2), (128, 1)), "widths": (0.5, 0.75, 1.0),
        "search_pointwise": True, "activation": "rprelu", "rsign": True,
    },
    "spos-blocks": {
        "name": "spos-blocks", "image_size": 16, "classes": 5, "stem_stride": 1,
        "stem_channels": 4, "stages": ((8, 2), (16, 2)), "last_channels": 12,
    },
    "spos-blocks with widths": {
        "name": "spos-blocks", "image_size": 16, "classes": 5, "stem_stride": 1,
        "stem_channels": 4, "stages": ((8, 2), (16, 2)), "last_channels": 12,
        "widths": (0.5, 1.0, 1.6),
    },
    "wide-binary": {
        "name": "wide-binary", "image_size": 16, "classes": 5, "stem_channels": 8,
        "stages": ((16, 1, 1), (32, 3, 2)), "widths": (0.5, 1.0), "groups": (1, 2, 4),
    },
    "mixed-precision": {
        "name": "mixed-precision", "image_size": 16, "classes": 5, "width": 0.0625,
        "stem": "small", "bits": ((1, 1), (1, 2), (2, 1), (4, 4), (32, 32)),
    },
    "metapruning": {
        "name": "metapruning", "image_size": 16, "classes": 5, "width": 0.125, "stem": "small",
        "percents": (25, 50, 100),
    },
    "metapruning mobilenet-v2": {
        "name": "metapruning", "network": "mobilenet-v2", "image_size": 16, "classes": 5,
        "width": 0.125, "stem": "small", "percents": (50, 100),
    },
    "metapruning resnet-50": {
        "name": "metapruning", "network": "resnet-50", "image_size": 16, "classes": 5,
        "width": 0.0625, "stem": "small", "percents": (50, 100),
    },
}  # fmt: skip

FIXED_SPACES = ("network",)
"""Registered spaces of one architecture, which have no supernet."""

SHARINGS: dict[str, tuple[str, ...]] = {
    "mobilenet-groups": ("independent", "nested", "sliced"),
    "mobilenet-groups with widths": ("independent", "sliced"),
    "spos-blocks": ("independent", "sliced"),
    "spos-blocks with widths": ("independent", "sliced"),
    "wide-binary": ("independent", "sliced"),
    "mixed-precision": ("independent", "sliced"),
    "metapruning": ("sliced", "generated"),
    "metapruning mobilenet-v2": ("sliced", "generated"),
    "metapruning resnet-50": ("sliced", "generated"),
}

CASES = [(name, sharing) for name, found in SHARINGS.items() for sharing in found]
