"""Jobs for a Ray cluster, as `ray job submit` starts them.

python -m workers ARCHIVE PATH...            index
python -m workers build-cocopfs --coco ...   build COCO-PFS, see `idclip build-cocopfs -h`
python -m workers train-idclip --data ...    train an Id-CLIP, see `idclip train -h`
"""

from __future__ import annotations

import sys

from vidsearch.cli import main

if __name__ == "__main__":
    if sys.argv[1:2] == ["build-cocopfs"]:
        from workers.cocopfs_job import command

        command("auto")(sys.argv[1:])
    elif sys.argv[1:2] == ["train-idclip"]:
        from workers.train_job import command

        command("auto")(sys.argv[1:])
    else:
        main(["index", "--ray", "auto", *sys.argv[1:]])
