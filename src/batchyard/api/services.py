"""The services that are answered here: each folder of this package is one, and declares it in `service.SERVICE`."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from batchyard import api
from batchyard.api.service_descriptor import ServiceDescriptor


def find_services() -> dict[str, ServiceDescriptor]:
    """The descriptors by name, in the order of the names."""
    folders = sorted(module.name for module in pkgutil.iter_modules(api.__path__) if module.ispkg)
    found = [import_module(f"{api.__name__}.{folder}.service").SERVICE for folder in folders]
    assert all(isinstance(service, ServiceDescriptor) for service in found), f"no descriptor in one of {folders}"
    return {service.name: service for service in found}


SERVICES = find_services()
