"""Where a run runs: what was started, on which Python, with which packages, drivers and flags.

Two halves: `describe_start` takes less than a millisecond and is for the call that starts a run; `describe_environment`
reads the metadata of every installed distribution and asks the drivers, and is for a background thread. Neither raises.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trailhouse.capture.json_values import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "MASK",
    "describe_command",
    "describe_environment",
    "describe_start",
    "is_this_python",
    "mask_secrets",
]

MASK = "***"

_SUSPECT = r"(?:passw(?:or)?d|passphrase|secret|token|credentials?|(?:api|access|private|secret)[-_.]?key|auth)"
_SECRET_NAME = re.compile(rf"(?:^|[-_.]|(?=(?-i:[A-Z]))){_SUSPECT}$|^-{{0,2}}(?:key|pwd|pass)$", re.IGNORECASE)
#: Tokens that a model reads, not a server.
_MODEL_TOKEN = re.compile(r"(?:bos|eos|pad|mask|unk|sep|cls|image|special|stop|start|end)[-_.]?token$", re.IGNORECASE)
_NOT_SECRET = re.compile(r"^(?:true|false|yes|no|none|null|auto|\d{1,6})$", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@]*@")
_MASKED_PASSWORD = rf"\1{MASK}@"
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+\S+")
_QUERY_SECRET = re.compile(rf"(?i)([?&;]\w*{_SUSPECT}\w*=)[^&;\s]+")
#: Tokens that give themselves away by their form: GitHub, GitLab, OpenAI, Hugging Face, Slack, AWS, Google, JWT.
_KNOWN_TOKENS = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|sk-[\w-]{16,}|hf_\w{16,}|xox[abprs]-[\w-]{10,}"
    r"|A[KS]IA[0-9A-Z]{16}|AIza[\w-]{30,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
)

_DETERMINISM_VARIABLES = (
    "PYTHONHASHSEED",
    "CUBLAS_WORKSPACE_CONFIG",
    "NCCL_ALGO",
    "NCCL_PROTO",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "MKL_CBWR",
    "TF_DETERMINISTIC_OPS",
    "XLA_FLAGS",
)
_SEED_VARIABLES = ("PYTHONHASHSEED", "PL_GLOBAL_SEED")
_IMAGE_VARIABLES = ("TRAILHOUSE_IMAGE_DIGEST", "CONTAINER_IMAGE_DIGEST", "IMAGE_DIGEST", "CONTAINER_IMAGE")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def describe_start(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Return entry_point, command (secrets masked), python_version and platform of this process."""
    command = list(arguments) if arguments is not None else list(getattr(sys, "orig_argv", sys.argv))
    return {
        "entry_point": _entry_point(),
        "command": [clean_text(argument) for argument in mask_secrets(command)],
        "python_version": platform.python_version(),
        "platform": _platform(),
    }


def describe_command(command: Sequence[str]) -> dict[str, Any]:
    """Return the same of a command that another process runs; python_version where it is run by this Python."""
    return {
        "entry_point": clean_text(_entry_point_of(command)),
        "command": [clean_text(argument) for argument in mask_secrets(command)],
        "python_version": platform.python_version() if is_this_python(command[0]) else "",
        "platform": _platform(),
    }


def is_this_python(program: str) -> bool:
    """Return whether a program of that name would be this Python, with the same packages."""
    found = shutil.which(program)
    return found is not None and Path(found).absolute() == Path(sys.executable).absolute()


def describe_environment(*, seeds: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return packages, container_image_digest, drivers, seeds and determinism of this process.

    `seeds` are what the user says was seeded; they win over what is found. Takes tens of milliseconds where many
    distributions are installed, so call it off the training loop's thread.
    """
    return {
        "packages": installed_packages(),
        "container_image_digest": container_image_digest(),
        "drivers": _drivers(),
        "seeds": _seeds() | {clean_text(str(name)): int(seed) for name, seed in (seeds or {}).items()},
        "determinism": _determinism(),
    }


def mask_secrets(arguments: Sequence[str]) -> list[str]:
    """Return the command line with what looks like a secret replaced by ***.

    A secret is the value of an option or setting whose name says so (`--password X`, `--api-key=X`, `db.token=X`),
    credentials in a URL, an authorization header, or a text in the form of a well-known kind of token.
    """
    masked: list[str] = []
    next_is_secret = False
    for argument in arguments:
        is_option = argument.startswith("-") and len(argument) > 1
        name, equals, value = argument.partition("=")
        if next_is_secret and not is_option:
            masked.append(argument if _NOT_SECRET.match(argument) else MASK)
            next_is_secret = False
            continue
        names_secret = bool(_SECRET_NAME.search(name)) and not _MODEL_TOKEN.search(name)
        next_is_secret = is_option and not equals and names_secret
        if equals and names_secret and value and not _NOT_SECRET.match(value):
            masked.append(f"{_URL_PASSWORD.sub(_MASKED_PASSWORD, name)}={MASK}")
            continue
        text = _URL_PASSWORD.sub(_MASKED_PASSWORD, argument)
        text = _BEARER.sub(rf"\1 {MASK}", text)
        text = _QUERY_SECRET.sub(rf"\1{MASK}", text)
        masked.append(_KNOWN_TOKENS.sub(MASK, text))
    return masked


def installed_packages() -> dict[str, str]:
    """Return the version of each installed distribution by its normalised name, as the import system would find it."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        try:
            metadata = _name_and_version(distribution)
        except Exception:  # noqa: BLE001, S112  a version of PyTorch without it
            continue
        if metadata is not None:
            found.setdefault(*metadata)  # the first on the path is the one that is imported
    return dict(sorted(found.items()))


def container_image_digest() -> str:
    """Return the digest of the container image (sha256:…) as the environment or Podman tells it, or nothing.

    A process cannot see its own image in Docker or Kubernetes: set TRAILHOUSE_IMAGE_DIGEST there.
    """
    for variable in _IMAGE_VARIABLES:
        digest = _DIGEST.search(os.environ.get(variable, ""))
        if digest:
            return digest.group()
    try:
        image = re.search(
            r'^imageid="(?:sha256:)?([0-9a-f]{64})"', Path("/run/.containerenv").read_text("utf-8"), re.MULTILINE
        )
    except (OSError, ValueError):
        return ""
    return f"sha256:{image.group(1)}" if image else ""


def _entry_point() -> str:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return clean_text(spec.name.removesuffix(".__main__"))
    return clean_text(str(getattr(main, "__file__", None) or (sys.argv[0] if sys.argv else "")))


def _entry_point_of(command: Sequence[str]) -> str:
    """Return the script or module that a Python is told to run, else the program."""
    program, *arguments = command
    if not re.fullmatch(r"python[0-9.]*", Path(program).name):
        return program
    options = iter(arguments)
    for option in options:
        if option == "-m":
            return next(options, program)
        if option in {"-W", "-X"}:
            next(options, None)
        elif option.startswith("-c") or not option.startswith("-"):
            return program if option.startswith("-c") else option
    return program


def _platform() -> str:
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    try:
        distribution = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        distribution = ""
    return clean_text(f"{system} ({distribution})" if distribution else system)


def _name_and_version(distribution: importlib.metadata.Distribution) -> tuple[str, str] | None:
    # The name of the directory says both without opening a file; a parse of every METADATA takes ten times as long.
    path = getattr(distribution, "_path", None)
    stem, dot, suffix = path.name.rpartition(".") if path is not None else ("", "", "")
    name, dash, version = stem.partition("-")
    if not (dot and dash and suffix == "dist-info"):
        name, version = distribution.metadata["Name"], distribution.version
    if not name or not version:
        return None
    return clean_text(re.sub(r"[-_.]+", "-", name).lower()), clean_text(version)


def _drivers() -> dict[str, str]:
    found: dict[str, str] = {}
    torch: Any = sys.modules.get("torch")
    for name, ask in (
        ("nvidia", _nvidia_driver),
        ("cuda_driver", _cuda_driver),
        ("rocm", lambda: Path("/opt/rocm/.info/version").read_text("utf-8").strip()),
        ("cuda", lambda: torch.version.cuda if torch else None),
        ("hip", lambda: torch.version.hip if torch else None),
        ("cudnn", lambda: torch.backends.cudnn.version() if torch else None),
        ("nccl", lambda: ".".join(map(str, torch.cuda.nccl.version())) if torch else None),
    ):
        try:
            version = ask()
        except Exception:  # noqa: BLE001, S112  a version of PyTorch without it
            continue
        if version:
            found[name] = clean_text(str(version))
    return found


def _nvidia_driver() -> str:
    text = Path("/proc/driver/nvidia/version").read_text("utf-8")
    version = re.search(r"Module\s+(?:for \S+\s+)?(\d+(?:\.\d+)+)", text)
    return version.group(1) if version else ""


def _cuda_driver() -> str:
    if not Path("/proc/driver/nvidia").exists():
        return ""
    import pynvml  # noqa: PLC0415  only where there is such a device and the extra is installed

    pynvml.nvmlInit()
    try:
        version = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
    finally:
        pynvml.nvmlShutdown()
    return f"{version // 1000}.{version % 1000 // 10}"


def _seeds() -> dict[str, int]:
    found: dict[str, int] = {}
    for variable in _SEED_VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdecimal():
            found[variable] = int(value)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        try:
            seed = int(torch.initial_seed())
        except Exception:  # noqa: BLE001  a version of PyTorch without it
            return found
        if seed < 2**63:
            found["torch"] = seed
    return found


def _determinism() -> dict[str, str]:
    found = {name: clean_text(os.environ[name]) for name in _DETERMINISM_VARIABLES if name in os.environ}
    torch: Any = sys.modules.get("torch")
    for name, ask in (
        ("torch.deterministic_algorithms", lambda: bool(torch.are_deterministic_algorithms_enabled())),
        ("torch.cudnn.deterministic", lambda: torch.backends.cudnn.deterministic),
        ("torch.cudnn.benchmark", lambda: torch.backends.cudnn.benchmark),
        ("torch.float32_matmul_precision", lambda: str(torch.get_float32_matmul_precision())),
    ):
        try:
            if torch is not None:
                found[name] = str(ask()).lower()
        except Exception:  # noqa: BLE001, S112  a version of PyTorch without it
            continue
    return found
