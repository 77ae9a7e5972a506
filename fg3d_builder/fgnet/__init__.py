"""FGNet: the network that is trained on the shards, its losses and its baselines.

Everything here imports with torch, numpy, scipy, h5py and OpenCV alone.
"""
