"""The exceptions a user can meet, as one tree.

UnifiedMLOpsError
├── ArgumentError(ValueError)             a value that cannot be used
├── ArgumentTypeError(TypeError)          a value of the wrong type
├── ConfigError(ValueError)               a setting that cannot be used
├── PluginError
│   ├── PluginNotFoundError(LookupError)  no such plugin is installed
│   ├── PluginLoadError(ImportError)      a plugin broke while it was loaded
│   ├── PluginContractError(TypeError)    a plugin does not fit the hooks
│   └── AmbiguousPluginError              several plugins serve one noun
├── UnsupportedError(NotImplementedError) nobody serves this; names who would
├── NotFoundError(LookupError)            a name that does not exist
├── AlreadyExistsError                    a name that is taken
├── BackendError(RuntimeError)            a tool or its store is broken, locked, full or away
├── PipelineError
│   └── TaskFailedError                   a task of a pipeline failed
└── LineageError                          the graph cannot answer

Every message is a fact in lower case; `hint`, where there is one, is the exact thing to do next.
"""

from __future__ import annotations


class UnifiedMLOpsError(Exception):
    """Base of every error that this package raises on purpose.

    Args:
        fact: what is wrong, in lower case, with values as `{value!r}`.
        hint: what to type or change to mend it.
    """

    def __init__(self, fact: str, *, hint: str | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.hint = hint

    def __str__(self) -> str:
        return self.fact if self.hint is None else f"{self.fact}\nHint: {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip from a worker process with the hint."""
        return (_rebuild, (type(self), self.fact, self.hint))


def _rebuild(kind: type[UnifiedMLOpsError], fact: str, hint: str | None) -> UnifiedMLOpsError:
    return kind(fact, hint=hint)


class ArgumentError(UnifiedMLOpsError, ValueError):
    """A value that cannot be used, found before anything was written."""


class ArgumentTypeError(UnifiedMLOpsError, TypeError):
    """A value of the wrong type, found before anything was written."""


class ConfigError(UnifiedMLOpsError, ValueError):
    """A setting that cannot be used."""


class PluginError(UnifiedMLOpsError):
    """Something is wrong with a plugin or with the choice of one."""


class PluginNotFoundError(PluginError, LookupError):
    """No plugin of that name is installed."""


class PluginLoadError(PluginError, ImportError):
    """A plugin raised while it was imported or constructed."""


class PluginContractError(PluginError, TypeError):
    """A plugin does not fit the hook specifications."""


class AmbiguousPluginError(PluginError):
    """Several plugins serve one noun and nothing says which to ask."""


class UnsupportedError(UnifiedMLOpsError, NotImplementedError):
    """No loaded plugin can do this."""


class NotFoundError(UnifiedMLOpsError, LookupError):
    """A resource that does not exist."""


class AlreadyExistsError(UnifiedMLOpsError):
    """A resource whose name is taken."""


class BackendError(UnifiedMLOpsError, RuntimeError):
    """A tool or its store is broken, locked, full or out of reach."""


class PipelineError(UnifiedMLOpsError):
    """A pipeline cannot be run or has failed."""


class TaskFailedError(PipelineError):
    """A task of a pipeline failed."""


class LineageError(UnifiedMLOpsError):
    """The lineage graph cannot answer."""


_ILLS = {
    "locked": ("is locked by another process", "end that process, or try again"),
    "could not be acquired": ("is locked by another process", "end that process, or try again"),
    "malformed": ("is corrupted", ""),
    "not a database": ("is corrupted", ""),
    "is full": ("is on a full disk", "free some disk space"),
    "no space left": ("is on a full disk", "free some disk space"),
    "file too large": ("is at the limit of its disk space", "raise the limit: ulimit -f"),
    "quota exceeded": ("is at the limit of its disk space", "delete some files"),
    "disk i/o error": ("has trouble with its disk", "see that the disk is there and not full"),
    "unable to open": ("cannot be opened", "see that its folder is there and may be written"),
    "readonly": ("cannot be written", "see who may write there"),
    "read-only": ("cannot be written", "see who may write there"),
    "permission denied": ("cannot be written", "see who may write there"),
}
"""What can be wrong with a store, by the words of SQLite and of the operating system."""


def store_error(store: str, error: BaseException, *, mend: str) -> BackendError:
    """The error for a store that is locked, corrupted, full or out of reach.

    Args:
        store: which one, such as `the lineage database '/w/lineage.db'`.
        error: what SQLite, a driver or the operating system raised.
        mend: what to do where it is corrupted, or none of what is known.
    """
    said = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
    text = str(said).strip().partition("\n")[0]
    for words, (fact, hint) in _ILLS.items():
        if words in text.lower():
            return BackendError(f"{store} {fact}", hint=hint or mend)
    return BackendError(f"{store} cannot be used: {text}", hint=mend)
