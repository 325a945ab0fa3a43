"""Libraries that another one imports, and that this process may never use: loaded when they are used, or left out."""

import sys
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

_LOCK = RLock()
_loading: set[str] = set()


class DeferredModule(ModuleType):
    """Stands for a module, and becomes it when an attribute is asked for.

    `importlib.util.LazyLoader` doesn't do here: a second `import` asks for `__spec__`, at which it loads the module.
    """

    def __getattr__(self, name: str) -> Any:
        loader = self.__spec__.loader if self.__spec__ else None
        if name.startswith("__") or loader is None:  # what the import system asks for
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        with _LOCK:
            # While it is loaded, other threads wait, and this one asks for what isn't there yet.
            if type(self) is DeferredModule and self.__name__ not in _loading:
                _loading.add(self.__name__)
                try:
                    loader.exec_module(self)
                    self.__class__ = ModuleType  # type: ignore[assignment]
                finally:
                    _loading.discard(self.__name__)
        return ModuleType.__getattribute__(self, name)


def defer_import(name: str) -> None:
    """Has a library imported when it is used. Does nothing if it is imported already, or isn't installed."""
    if name in sys.modules or (spec := find_spec(name)) is None:
        return
    module = module_from_spec(spec)
    module.__class__ = DeferredModule  # type: ignore[assignment]
    sys.modules[name] = module


def leave_out(*names: str) -> None:
    """Has modules seem not to be installed, for libraries that import them where they are. Imported ones stay.

    See https://docs.python.org/3/reference/import.html#the-module-cache.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    for name in names:
        modules.setdefault(name, None)
