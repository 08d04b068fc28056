"""From images to vectors. Knows neither Qt nor Orange; torch is loaded on first use."""

from orangecontrib.imagemining.embedders.api import EmbeddedImages as EmbeddedImages
from orangecontrib.imagemining.embedders.api import Embedder as Embedder
from orangecontrib.imagemining.embedders.base import AnyEmbedder as AnyEmbedder
from orangecontrib.imagemining.embedders.base import Embeddings as Embeddings
from orangecontrib.imagemining.embedders.base import check_spec as check_spec
from orangecontrib.imagemining.embedders.base import fits_of as fits_of
from orangecontrib.imagemining.embedders.base import knows_imagenet as knows_imagenet
from orangecontrib.imagemining.embedders.base import passes as passes
from orangecontrib.imagemining.embedders.base import views_of as views_of
from orangecontrib.imagemining.embedders.classes import class_names as class_names
from orangecontrib.imagemining.embedders.local import LocalEmbedder as LocalEmbedder
