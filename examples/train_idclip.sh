#!/bin/sh
# From photos and faces to a trained Id-CLIP and a question that uses it, on two CPU cores.
#
#     sh examples/train_idclip.sh [OUT [COCO [FACES [FLICKR8K]]]]
#
# OUT       where all of it goes                       (idclip-run)
# COCO      COCO's train2017/, val2017/, annotations/  (../shared/data/coco-mini)
# FACES     PERSON/*.jpg, as a folder or a tar         (../shared/data/lfw90.tar)
# FLICKR8K  images.tar and captions.csv: a better model, an hour more (none)
#
# Needs the extra `train`. IDCLIP, VIDSEARCH and PYTHON name commands that are not in .venv/bin.
# A run that was interrupted goes on where it was.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-idclip-run}
coco=${2:-$here/../shared/data/coco-mini}
faces=${3:-$here/../shared/data/lfw90.tar}
flickr=${4:-}
idclip=${IDCLIP:-$here/.venv/bin/idclip}
vidsearch=${VIDSEARCH:-$here/.venv/bin/vidsearch}
mkdir -p "$out"

say() { printf '\n== %s\n' "$*" >&2; }

say "COCO-PFS: one-person photos with other people's faces"
"$idclip" build-cocopfs --coco "$coco" --faces "$faces" --out "$out/pfs"
set -- --data "$out/pfs"
if [ -n "$flickr" ]; then
    [ -d "$out/flickr-coco/annotations" ] ||
        "${PYTHON:-$here/.venv/bin/python}" "$here/examples/flickr8k_to_coco.py" \
            "$flickr" "$out/flickr-coco"
    "$idclip" build-cocopfs --coco "$out/flickr-coco" --faces "$faces" --out "$out/pfs-flickr"
    set -- "$@" --data "$out/pfs-flickr"
fi

say "training: the translator from faces to a word of the frozen model"
resume=
[ ! -d "$out/run/last" ] || resume=--resume
"$idclip" train --preset compact "$@" --out "$out/run" $resume

say "the paper's table, on people that were not trained on"
"$idclip" evaluate "$out/run/best" --data "$out/pfs${flickr:+-flickr}" --out "$out/evaluation"

say "an export that needs no torch"
[ -d "$out/onnx" ] || "$idclip" export "$out/run/best" --onnx "$out/onnx"

say "an archive that uses it, and a question with a name in it"
export VIDSEARCH_ARCHIVE="$out/archive"
"$vidsearch" index --encoder "onnx:$out/onnx" "$here/examples/media"
"$vidsearch" people add "Lin-Manuel Miranda" \
    "$here/examples/media/people/Lin-Manuel_Miranda.jpg"
"$vidsearch" query "Lin-Manuel Miranda singing"
