"""Sources that do harm to the process that reads them."""

import os
from multiprocessing import parent_process


class Deadly:
    """A file whose reading ends a worker, as a decoder that crashes does."""

    name = "deadly.png"

    def read(self) -> bytes:
        if parent_process() is None:  # the process of the tests, which looks how many bits the images have
            return b"deadly"
        os._exit(9)
