"""Face models: format, importers, landmark embeddings -> `FaceModel`."""

from fg3d_builder.facemodel.model import PARTS, Embedding, FaceModel, check_model, topology_hash
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.facemodel.surround import Surround

__all__ = [
    "PARTS",
    "Embedding",
    "FaceModel",
    "Surround",
    "check_model",
    "load_model",
    "save_model",
    "topology_hash",
]
