"""The published idea of CUPre: a detector pre-trained on cells and natural images in turn (AMT2)."""
