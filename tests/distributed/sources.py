"""Sources that do harm to the process that reads them."""

import os


class Deadly:
    """A file whose reading ends the process, as a decoder that crashes does."""

    name = "deadly.png"

    def read(self) -> bytes:
        os._exit(9)
