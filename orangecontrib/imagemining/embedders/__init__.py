"""From images to vectors. Knows neither Qt nor Orange; torch is loaded on first use."""

from orangecontrib.imagemining.embedders.base import Embedder as Embedder
from orangecontrib.imagemining.embedders.base import Embeddings as Embeddings
from orangecontrib.imagemining.embedders.base import check_spec as check_spec
from orangecontrib.imagemining.embedders.local import LocalEmbedder as LocalEmbedder
