"""Everything that can go wrong and that a caller may want to tell apart.

::

    ImageMiningError
    ├── ImageError                one image cannot be used; the others can
    │   ├── ImageNotFoundError    nothing is there
    │   ├── ImageAccessError      it is there, but may not be read
    │   ├── NotAnImageError       it is there, but is not a picture we can read
    │   ├── DamagedImageError     a picture that breaks off or contradicts itself
    │   ├── ImageTooLargeError    more pixels or bytes than the limit allows
    │   └── FetchError            its address could not be reached
    ├── FolderError               a folder cannot be searched for images
    │   ├── FolderNotFoundError   there is no folder of that name
    │   └── NoImagesError         it has no images, or none that were wanted
    ├── PatternError              it is not clear which names a pattern means
    ├── SaveError                 an image, or none of them, can be saved
    │   └── FilesExistError       files are there already, and nobody said what then
    ├── TableError                a table cannot be read, or names no images
    ├── GridError                 images cannot be laid out on a grid
    ├── UnknownNameError          no network, layer or option of that name
    ├── WeightsError              a network's weights are missing or wrong
    ├── TrainingError             a network cannot be trained, or not as planned
    ├── ReportError               a report, or a part of it, cannot be made
    ├── ServerError               an embedding server cannot be reached, or refuses
    │   └── ProtocolError         what it sent, or was sent, makes no sense
    └── TaskCancelled             the user asked to stop

The message of each says what happened and what to do, in words for a user.
"""

from __future__ import annotations

from collections.abc import Mapping


class ImageMiningError(Exception):
    """Base of all errors that this package raises on purpose."""


class ImageError(ImageMiningError):
    """One image cannot be used; the message is the reason shown to the user."""


class ImageNotFoundError(ImageError):
    """There is no file or address of that name."""


class ImageAccessError(ImageError):
    """The file exists, but the system does not let us read it."""


class NotAnImageError(ImageError):
    """The content is not an image in a format that can be read."""


class DamagedImageError(ImageError):
    """The image breaks off or contradicts itself."""


class ImageTooLargeError(ImageError):
    """The image has more pixels or bytes than the limits allow."""


class FetchError(ImageError):
    """The image's address could not be reached or gave no image."""


class FolderError(ImageMiningError):
    """The folder cannot be searched for images."""


class FolderNotFoundError(FolderError):
    """There is no folder of that name."""


class NoImagesError(FolderError):
    """The folder has no images, or none that were wanted.

    Attributes
    ----------
    types : endings of the images that there are, wanted or not, and how many of each.
    """

    def __init__(self, text: str, types: Mapping[str, int]) -> None:
        super().__init__(text)
        self.types = types


class PatternError(ImageMiningError, ValueError):
    """It is not clear which names of files a pattern means."""


class SaveError(ImageMiningError):
    """An image cannot be written, or nothing can be saved in that folder."""


class FilesExistError(SaveError):
    """Files of these names exist, and it was not said what to do with them."""


class TableError(ImageMiningError):
    """A file cannot be read as a table, or the table has no column of images."""


class GridError(ImageMiningError):
    """The images cannot be laid out on a grid of that size, or not at all."""


class UnknownNameError(ImageMiningError, ValueError):
    """No network, layer or option has that name."""


class WeightsError(ImageMiningError):
    """A network's weights are missing, or are not the published ones."""


class TrainingError(ImageMiningError):
    """A network cannot be trained on these images, or not as it is planned."""


class ReportError(ImageMiningError):
    """The report, or a part of it, cannot be made."""


class ServerError(ImageMiningError):
    """An embedding server cannot be started or reached, or refuses what is asked."""


class ProtocolError(ServerError):
    """What travelled between an embedding server and its client makes no sense."""


class TaskCancelled(ImageMiningError):
    """The user asked to stop; nothing went wrong."""
