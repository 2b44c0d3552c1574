"""What every test may ask for."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Our programs run on asyncio alone."""
    return "asyncio"
