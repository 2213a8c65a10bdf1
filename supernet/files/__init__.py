"""What every stage reads and writes; no torch until weights are.

`writing` leaves whole files or none; `reading` takes JSON documents with their format headers,
`weights` tensors that must fit a network; `user_error` is what is raised of a user's mistake,
`expected` what a refused value should have been. `image_file` is one image as pixels, of the
`image_formats` that are decoded here, `image_view` what a network sees of it, `image_listing` all
below a folder; `plain_data` is what JSON can hold, nested or by dotted name; `printable` is text
for a terminal, `telling` what stands there beside a result; `names` what classes and blocks are
called.
"""

from __future__ import annotations

from supernet.files.reading import check_header as check_header
from supernet.files.reading import read_json as read_json
from supernet.files.reading import sha256_file as sha256_file
from supernet.files.user_error import RunFailed as RunFailed
from supernet.files.user_error import UserError as UserError
from supernet.files.user_error import as_written as as_written
from supernet.files.user_error import naming as naming
from supernet.files.user_error import or_damaged as or_damaged
from supernet.files.weights import check_names_and_shapes as check_names_and_shapes
from supernet.files.weights import load_weights as load_weights
from supernet.files.weights import save_weights as save_weights
from supernet.files.writing import PARTIAL as PARTIAL
from supernet.files.writing import atomic_write as atomic_write
from supernet.files.writing import check_output as check_output
from supernet.files.writing import open_to_append as open_to_append
from supernet.files.writing import remove_abandoned as remove_abandoned
from supernet.files.writing import write_json as write_json
from supernet.files.writing import write_text as write_text
