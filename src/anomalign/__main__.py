"""``python -m anomalign``."""

from anomalign.cli import main

try:
    main()
finally:
    # Python notes a Ctrl-C that arrives within an `exec`, as of a dataclass that is being imported, and dies of it in
    # the end, though it was handled and the exit status given; the next `exec` makes it forget.
    exec("")
