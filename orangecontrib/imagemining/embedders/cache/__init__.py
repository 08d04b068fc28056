"""What is embedded once is not computed again.

`keys` tells what vectors are kept under, `store` keeps them, `guard` sees to what may
happen to its file, and `database` is that file. How an embedder uses them::

    key = spec_key(spec)
    vectors, found = store.lookup(sources, key, size, progress)   # reads no image
    # for each source that was not found:
    stamp = stamp_of(source)                     # before reading
    content = content_of(data)                   # data: the whole file, as it was read
    # or, of what is not read as a whole: content_of_file(path)
    known = store.find(source, content, [key])   # {key: vector} if renamed, copied, …
    # for each batch, as soon as it is computed; {} where `find` knew the vector
    store.put_many([Row(source, stamp, content, {key: vector}), …])
"""

from orangecontrib.imagemining.embedders.cache.keys import Stamp as Stamp
from orangecontrib.imagemining.embedders.cache.keys import content_of as content_of
from orangecontrib.imagemining.embedders.cache.keys import (
    content_of_file as content_of_file,
)
from orangecontrib.imagemining.embedders.cache.keys import spec_key as spec_key
from orangecontrib.imagemining.embedders.cache.keys import stamp_of as stamp_of
from orangecontrib.imagemining.embedders.cache.store import Row as Row
from orangecontrib.imagemining.embedders.cache.store import VectorStore as VectorStore
from orangecontrib.imagemining.embedders.cache.store import shared_store as shared_store
