"""Find images, open them, and make them what a network expects.

Knows files, addresses and pixels; knows neither networks nor Orange.
"""

from orangecontrib.imagemining.images.crops import CROPS as CROPS
from orangecontrib.imagemining.images.crops import DENSE_SIDES as DENSE_SIDES
from orangecontrib.imagemining.images.crops import crops_of as crops_of
from orangecontrib.imagemining.images.crops import dense_images as dense_images
from orangecontrib.imagemining.images.find import FileFilter as FileFilter
from orangecontrib.imagemining.images.find import FindResult as FindResult
from orangecontrib.imagemining.images.find import FolderScan as FolderScan
from orangecontrib.imagemining.images.find import FoundImage as FoundImage
from orangecontrib.imagemining.images.find import find_images as find_images
from orangecontrib.imagemining.images.limits import Limits as Limits
from orangecontrib.imagemining.images.locate import is_url as is_url
from orangecontrib.imagemining.images.locate import local_path as local_path
from orangecontrib.imagemining.images.locate import locate as locate
from orangecontrib.imagemining.images.measure import Measure as Measure
from orangecontrib.imagemining.images.measure import Measures as Measures
from orangecontrib.imagemining.images.measure import is_there as is_there
from orangecontrib.imagemining.images.names import CategoryPattern as CategoryPattern
from orangecontrib.imagemining.images.names import natural_key as natural_key
from orangecontrib.imagemining.images.open import ImageReader as ImageReader
from orangecontrib.imagemining.images.resize import prepare as prepare
from orangecontrib.imagemining.images.resize import turned as turned
from orangecontrib.imagemining.images.thumbnail_store import STORED_SIDE as STORED_SIDE
from orangecontrib.imagemining.images.thumbnail_store import (
    ThumbnailStore as ThumbnailStore,
)
