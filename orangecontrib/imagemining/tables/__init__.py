"""Orange glue: tables in, tables out, computable anew on other tables."""

from orangecontrib.imagemining.tables.columns import image_columns as image_columns
from orangecontrib.imagemining.tables.columns import image_sources as image_sources
from orangecontrib.imagemining.tables.columns import (
    possible_image_columns as possible_image_columns,
)
from orangecontrib.imagemining.tables.embedded import EmbeddingResult as EmbeddingResult
from orangecontrib.imagemining.tables.embedded import embed_table as embed_table
from orangecontrib.imagemining.tables.folder import FolderTable as FolderTable
from orangecontrib.imagemining.tables.folder import (
    table_from_folder as table_from_folder,
)
