"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unified_mlops.errors import store_error


def write_whole(path: Path, text: str) -> None:
    """Put text in the place of a file; where that fails, the file stays as it was.

    Args:
        path: the file; its folder must be there.
        text: what it is to hold.

    Raises:
        BackendError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text)
        draft.replace(path)
    except OSError as error:
        mend = "give a file in a folder that is there"
        raise store_error(f"the file {str(path)!r}", error, mend=mend) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """Make a folder, and those above it; where the block fails the empty ones go again.

    Args:
        path: the folder.

    Raises:
        FileExistsError: it is there already.
        BackendError: it cannot be made.
    """
    missing = [place for place in (path, *path.parents) if not place.exists()]
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise
    except OSError as error:
        mend = "give a folder that can be made"
        raise store_error(f"the folder {str(path)!r}", error, mend=mend) from error
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for place in missing:
                place.rmdir()
        raise
