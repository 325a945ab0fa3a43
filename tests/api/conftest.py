"""The server with the embedded model, one for all tests of the API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.running_service import Service, running_service


@pytest.fixture(scope="session")
def service(models_root: Path) -> Iterator[Service]:
    with running_service(models_root) as service:
        yield service


@pytest.fixture(autouse=True)
def forgotten_texts(request: pytest.FixtureRequest) -> None:
    if "service" in request.fixturenames:
        request.getfixturevalue("service").forget_texts()
