"""Which distributions a model needs, at which versions, and which framework it is of."""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from typing import TYPE_CHECKING, Any

from trailhouse.capture.json_values import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["framework_of", "requirements_of"]

#: What a framework computes with, and would behave differently without at the same version.
_BENEATH = {
    "sklearn": ("numpy", "scipy", "joblib"),
    "xgboost": ("numpy", "scipy"),
    "lightgbm": ("numpy", "scipy"),
    "torch": ("numpy",),
}


def framework_of(model: Any) -> tuple[str, str]:
    """Return name and version of the framework that a model's class is from, or is derived from."""
    for base in type(model).__mro__:
        package = base.__module__.partition(".")[0]
        if package in {"builtins", "__main__"}:
            continue
        if package in _BENEATH or base is type(model):
            distribution = _distribution(package)
            version = distribution.partition("==")[2] or str(getattr(sys.modules.get(package), "__version__", ""))
            if package in _BENEATH or version:
                return clean_text(package), clean_text(version)
    return "", ""


def requirements_of(objects: Iterable[Any], class_names: Iterable[str]) -> list[str]:
    """Return name==version of the distributions that the classes come from, and of what is beneath them."""
    packages = {base.__module__.partition(".")[0] for thing in objects for base in type(thing).__mro__}
    packages |= {name.partition(".")[0] for name in class_names}
    for package in list(packages):
        packages |= set(_BENEATH.get(package, ()))
    found = {_distribution(package) for package in packages - set(sys.stdlib_module_names) - {"__main__"}}
    return sorted(found - {""})


@functools.lru_cache(maxsize=512)
def _distribution(package: str) -> str:
    """Return name==version of the distribution that a top-level package is from; empty where there is none."""
    for name in (package, *_providers().get(package, ())):
        try:
            return f"{name}=={importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


@functools.lru_cache(maxsize=1)
def _providers() -> Mapping[str, Sequence[str]]:
    return importlib.metadata.packages_distributions()
