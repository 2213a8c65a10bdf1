"""How images are varied: crops and flips, erasing, mixing.

`config` is what is asked for; `images` varies a batch as a whole with `crops`; `mix` chooses among
`mixup`, `cutmix` and `attentive_cutmix`, `erase` among `cutout` and `random_erasing`, one file a
technique. `batch` is images with labels that agree; `attention` asks an extractor where to look,
and a `stopwatch` says how long that takes.
"""
