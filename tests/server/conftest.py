from __future__ import annotations

from tests.engines.dockerd import dockerd, own_dockerd

__all__ = ["dockerd", "own_dockerd"]  # fixtures
