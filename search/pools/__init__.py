"""Where candidates are scored: in this process or by Ray's workers.

`pool` is what the search sees, `ray_pool` Ray's, with `ray_cluster` and `shared_arrays` to reach
its nodes; `dispatch` hands out the `work_queue` and scores again what `lost_workers` had.
"""
