"""Feast's registry file, written whole or not at all; named to Feast, which imports this module."""

from __future__ import annotations

import errno
import os
from copy import copy
from typing import Any
from uuid import uuid4

from feast.infra.registry.file import FileRegistryStore  # noqa: TID253  only Feast imports us


class WholeFileRegistryStore(FileRegistryStore):  # type: ignore[misc]
    """Writes beside the file and puts it there when it is whole.

    Feast writes over the file, and does not see that a full disk took only half of it.
    """

    def _write_registry(self, registry_proto: Any) -> None:
        file = self._filepath.resolve()
        aside = copy(self)
        aside._filepath = draft = file.with_name(f".{file.name}.{uuid4().hex}")
        try:
            super(WholeFileRegistryStore, aside)._write_registry(registry_proto)
            if draft.stat().st_size < registry_proto.ByteSize():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
