"""Video in: the public face of finding, probing, decoding and re-reading video files.

`find_videos` and `fingerprint` come from `vidsearch.inputs`, which loads neither PyAV nor
OpenCV; the pass over a file from `vidsearch.decoding`; random access from `vidsearch.rereads`.
"""

from vidsearch.decoding import Decoder, Frame, Probe, decode, probe
from vidsearch.inputs import Found, find_videos, fingerprint, printable
from vidsearch.rereads import read_picture, read_pictures

__all__ = [
    "Decoder",
    "Found",
    "Frame",
    "Probe",
    "decode",
    "find_videos",
    "fingerprint",
    "printable",
    "probe",
    "read_picture",
    "read_pictures",
]
