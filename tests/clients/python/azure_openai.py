"""`openai` as a client of Azure, which puts the deployment into the path."""

from functools import cache

from openai import AzureOpenAI

from tests.clients.python.asking import TIMEOUT_S, Wish, main
from tests.clients.python.openai_chat import Chat, OpenAIChat


@cache
def azure(url: str, key: str, deployment: str) -> AzureOpenAI:
    return AzureOpenAI(
        azure_endpoint=url,
        api_key=key,
        api_version="2024-10-21",
        azure_deployment=deployment,
        max_retries=0,
        timeout=TIMEOUT_S,
    )


class Azure(OpenAIChat):
    def talk(self, wish: Wish) -> Chat:
        return Chat(azure(wish.url, wish.key, wish.model), wish)


if __name__ == "__main__":
    main({"azure": Azure()})
