"""Files as the decoders get them, and what to make of the decoders' complaints."""

from __future__ import annotations

import errno
import io
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageAccessError,
    ImageError,
    ImageNotFoundError,
    NotAnImageError,
)

__all__ = ["DECODER_ERRORS", "Stream", "damaged", "open_path"]

#: What decoders raise on files that contradict themselves; there is no common base
#: class short of Exception.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
)


def damaged(ex: BaseException) -> ImageError:
    """Return the error for what a decoder says of a file."""
    text = " ".join(str(ex).split())
    if isinstance(ex, EOFError) or "truncated" in text.lower():
        return DamagedImageError("The file breaks off before its end; copy it again")
    if text.startswith("cannot handle"):  # JPEGs of 12 bits
        return NotAnImageError(f"An image of a kind that is not read ({text})")
    return DamagedImageError(f"The file is damaged ({text or type(ex).__name__})")


def open_path(path: str) -> Stream:
    """Open a file, and nothing else that may have a path.

    Raises
    ------
    ImageError
        One of its kinds, with the reason in words.
    """
    try:
        if Path(path).is_dir():
            raise NotAnImageError("This is a folder, not an image")
        if not Path(path).is_file() and os.path.exists(path):
            raise NotAnImageError("This is a device or pipe, not an image")
        return Stream(open(path, "rb"))
    except PermissionError as ex:
        raise ImageAccessError("The system does not allow reading this file") from ex
    except FileNotFoundError as ex:
        raise ImageNotFoundError("There is no file at this place") from ex
    except ValueError as ex:  # a zero byte in the name
        raise ImageNotFoundError("This is not a proper file name") from ex
    except OSError as ex:
        if ex.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EINVAL):
            raise ImageNotFoundError("There is no file at this place") from ex
        raise ImageAccessError(f"Cannot be read: {ex.strerror or ex}") from ex


class Stream(io.BufferedIOBase):
    """A file that can refuse to be read beyond its end.

    Another add-on may have told Pillow, for the whole program, to make half pictures
    of truncated files. Pillow asks for more at the end of a truncated file; answering
    with an error keeps it from doing so, whatever the switch says.
    """

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw = raw
        self._strict = False

    def forbid_half_pictures(self, image: Image.Image) -> None:
        """Raise EOFError, now or when `image` is decoded, if the file is truncated."""
        if not ImageFile.LOAD_TRUNCATED_IMAGES:
            return
        if image.format == "JPEG2000":
            # its decoder reads beyond the end of whole files too: look for the marker
            # that ends them
            place = self.tell()
            self.seek(-min(64, self.seek(0, os.SEEK_END)), os.SEEK_END)
            if b"\xff\xd9" not in self.read():
                raise EOFError("image file is truncated")
            self.seek(place)
        else:
            self._strict = True

    def read(self, size: int | None = -1) -> bytes:
        try:
            content = self._raw.read(-1 if size is None else size)
        except OSError as ex:  # a stick pulled out, a network drive gone
            reason = ex.strerror or str(ex)
            raise ImageAccessError(f"The file cannot be read ({reason})") from ex
        if self._strict and not content and size != 0:
            raise EOFError("image file is truncated")
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()
