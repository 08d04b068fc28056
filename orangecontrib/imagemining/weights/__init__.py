"""The networks' weights: where they come from, that they are the right ones, where they
are kept.

`registry` knows the published files, `download` fetches them, `readers` and the modules
beside it read what is in files of several kinds without running anything out of them,
`store` keeps them: in the user's data folder, below which (environment variable
IMAGEMINING_HOME overrides it) files lie under their published names. Folders named in
IMAGEMINING_WEIGHTS are searched first, and never written to.
"""

from orangecontrib.imagemining.weights.folders import data_folder as data_folder
from orangecontrib.imagemining.weights.folders import weights_folder as weights_folder
from orangecontrib.imagemining.weights.registry import WEIGHTS as WEIGHTS
from orangecontrib.imagemining.weights.registry import weights_of as weights_of
from orangecontrib.imagemining.weights.store import fetch as fetch
from orangecontrib.imagemining.weights.store import identity_of as identity_of
from orangecontrib.imagemining.weights.store import import_file as import_file
from orangecontrib.imagemining.weights.store import is_here as is_here
from orangecontrib.imagemining.weights.store import load_weights as load_weights
from orangecontrib.imagemining.weights.store import proof_of as proof_of
from orangecontrib.imagemining.weights.tensors import checksum as checksum
