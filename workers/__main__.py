"""`python -m workers ARCHIVE PATH...`: index on a Ray cluster, for `ray job submit`."""

from __future__ import annotations

import sys

from vidsearch.cli import main

if __name__ == "__main__":
    main(["index", "--ray", "auto", *sys.argv[1:]])
