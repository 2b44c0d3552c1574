"""What contradicts itself is refused before anything starts, without telling a password."""

from pathlib import Path

import pytest

from dpl_router.errors import ConfigError
from dpl_router.settings import Settings


@pytest.mark.parametrize("given", ["admin:s3cret@h:9090", "ftp://admin:s3@cret@h:9090"])
def test_a_wrong_address_is_told_without_its_password(given: str) -> None:
    settings = Settings(Path("nodes.yaml"), Path("data"), prometheus_url=given)

    with pytest.raises(ConfigError, match="--prometheus-url 'h:9090' is no address") as refused:
        settings.check()

    assert "cret" not in refused.value.message
