"""How weights are learned: data, augmentation, losses, loops, scoring, run folders.

`supernet_training` (asked for by a `supernet_stage`), `network_training` and `pretraining/` make a
training, which `loop/` runs; `supernet_file` and `network_file` are what comes of it, `preview` is
what it sees, `same_pictures` and `split_facts` what its splits hold; `stage` is what every stage
asks for, `section` what its settings are made of, `bounds` how large they can be. `data/` gives
images, `augment/` varies and mixes them, `optim/` moves weights, `path_sampling/` draws what a step
trains, `frozen/` networks teach or look. `scoring/` is BatchNorm calibration and scores with
inherited weights, `run_files/` what a run leaves on disk, `processes/` several processes and Ray;
`seeds`, `device` and `compilation` are where and how it all runs.
"""

from __future__ import annotations

from supernet.lazy import keep_former_paths

keep_former_paths({"training.run_folder": "training.run_files.folder"})
