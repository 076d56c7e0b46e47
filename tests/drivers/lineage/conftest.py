"""A family of registered models."""

from __future__ import annotations

import pytest

from tests.drivers.lineage.models import Models


@pytest.fixture
def models(store):
    return Models(store)


@pytest.fixture
def family(models):
    """team-base <- team-chat <- team-tool, team-code; all by tags."""
    models.version("team-base")
    models.version("team-chat", "team-base/1", tags={"base_model": "team-base"})
    models.version("team-tool", "team-chat/1", tags={"base_model": "models:/team-chat/1"})
    models.version("team-code", "team-base/1", tags={"modelmap.base_model": "team-base/1"})
    return models
