"""COCO-PFS: photos whose one face was swapped, with captions that name the person."""
