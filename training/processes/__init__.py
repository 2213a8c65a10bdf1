"""Several processes: torchrun's, and Ray's.

`distributed` is what the processes of one training do together, `shared_norm` a BatchNorm over all
of them; `ray_session` starts or joins a Ray, `ray_leftovers` ends what a killed one left;
`temporary_folder` is where sockets and compilers find room.
"""
