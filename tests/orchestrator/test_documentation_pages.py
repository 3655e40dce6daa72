"""The pages that document the API work without the internet."""

import re

import httpx
import pytest

pytestmark = pytest.mark.anyio

ADDRESS = re.compile(r"""(?:src|href)=["']([^"']+)["']""")


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_page_of_the_documentation_fetches_only_from_the_api_itself(
    page: str, client: httpx.AsyncClient
) -> None:
    answer = await client.get(page)
    addresses = ADDRESS.findall(answer.text)
    assert any(address.endswith(".js") for address in addresses)
    for address in addresses:
        assert address.startswith("/"), address
        assert (await client.get(address)).status_code == 200, address
