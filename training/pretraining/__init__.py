"""Learning features without labels, before a network is trained with them.

`run` is the stage, `config` what it is asked for, `pretraining` its step in the loop. A `method` is
one of `moco`, `simclr`, `byol` and `swav`, alone or with `unmix`; `build` makes it. It trains an
`encoder` on two `views` of each image, with the losses in `contrastive`, over the batches of all
processes (`gathering`). `probes` measure how good the features are.
"""
