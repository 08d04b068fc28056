"""Takes weights away from this computer."""

from __future__ import annotations

from pathlib import Path

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.specs import Progress, Weights, no_progress
from orangecontrib.imagemining.weights.folders import file_name, weights_folder

__all__ = ["kept_files", "remove"]


def kept_files(weights: Weights, folder: Path | None = None) -> list[Path]:
    """Return the files of a network's weights, whole ones and begun downloads.

    Those in folders that others share (IMAGEMINING_WEIGHTS) are not ours. The note of
    the checksum stays: it tells whether the same weights come the next time.

    Parameters
    ----------
    weights
        Out of `WEIGHTS`.
    folder
        Where they are kept; by default below `data_folder()`.
    """
    own = folder or weights_folder()
    published = file_name(weights)
    names = dict.fromkeys([published, f"{weights.name}.safetensors"])
    if published:
        names |= dict.fromkeys([f".part-{published}", f".part-{published}.json"])
    return [own / name for name in names if name and (own / name).is_file()]


def remove(
    weights: Weights, folder: Path | None = None, progress: Progress = no_progress
) -> None:
    """Delete `kept_files`, once no other program fetches them.

    Parameters
    ----------
    weights, folder
        As for `kept_files`.
    progress
        Asked while waiting; what it raises ends the work.

    Raises
    ------
    WeightsError
        If the system does not let us.
    """
    # httpx takes a while to load
    from orangecontrib.imagemining.weights.download import locked

    own = folder or weights_folder()
    name = file_name(weights) or f"{weights.name}.safetensors"
    with locked(own / name, progress):
        for path in kept_files(weights, folder):
            try:
                path.unlink(missing_ok=True)
            except OSError as ex:
                raise WeightsError(
                    f"{path} cannot be deleted: {ex.strerror or ex}"
                ) from ex
