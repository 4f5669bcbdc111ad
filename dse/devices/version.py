"""The versions of the runtimes that are installed here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from rankline.src.dse.devices.device import Device

PACKAGES = {"litert": "ai-edge-litert", "onnx": "onnxruntime", "keras": "keras"}
"""The package of each runtime."""


def installed_version(runtime: str) -> str | None:
    """The version of a runtime's package; None if it isn't installed, or if the runtime is not among PACKAGES."""
    try:
        return version(PACKAGES[runtime])
    except (KeyError, PackageNotFoundError):
        return None


def other_version(device: Device) -> str | None:
    """A line about another version of the device's runtime that is installed here; None if there is none."""
    found = installed_version(device.runtime)
    if found is None or found == device.version:
        return None
    return (
        f"device '{device.name}' was measured with {device.runtime} {device.version}, and {found} is installed here: "
        "measure it again if times have changed"
    )
