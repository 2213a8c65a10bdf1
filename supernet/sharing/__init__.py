"""How the networks of a supernet share weights.

`ways` lists the ways that a config can name, each with a file of its own: `independent`, `nested`,
`sliced` and `generated`; `kinds` keeps apart what shares nothing in the last two. `choices` is what
a supernet asks of each. `shared_path` is a block that computes with shared tensors, `slices` where
a smaller layer's lie in a larger one's.
"""

from supernet.sharing.ways import FROM_LARGEST as FROM_LARGEST
from supernet.sharing.ways import Sharing as Sharing
