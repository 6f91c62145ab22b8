"""`gateway serve --dev`: what is added to the configuration, and what the person in front of it is told."""

import asyncio
from pathlib import Path

from msgspec.structs import replace

from gateway.settings.dev import STAND_IN_MODEL, curl, dev_key, dev_settings, key_path, model_of, stand_ins
from gateway.settings.found import Found, find
from gateway.settings.load import own_environment, providers
from gateway.settings.shape import Settings
from gateway.supervisor.stand_ins import Role, StandIns


class Dev:
    """One run's stand-ins, key and findings; the same after every reload."""

    def __init__(self, base: Settings, servers: StandIns, key_file: Path | None = None) -> None:
        """Look around and ask the stand-ins where they are. StandInsMissing, ConfigUnusable.

        Before our own ports open, so that we don't find ourselves.
        """
        self._providers = providers()
        ports = (base.listen.port, base.listen.control_port)
        self._found: Found = asyncio.run(find(own_environment(), self._providers, ports))
        self._key = dev_key(key_file or key_path())
        self._urls = servers.play(
            [Role(one.name, STAND_IN_MODEL, one.place, one.ttft_s, one.tpot_s) for one in stand_ins()]
        )

    def settings(self, base: Settings, before: Settings | None = None) -> Settings:
        """The configuration with everything of `--dev` in it; `before` is what was served so far."""
        return dev_settings(base, self._urls, self._key, self._found, self._providers, before)

    def banner(self, settings: Settings, port: int, control_port: int) -> str:
        """Where it listens, what opens it, what may be spent, and a command for each country."""
        here = replace(settings, listen=replace(settings.listen, port=port))
        control = f"http://{settings.listen.control_host}:{control_port}"
        lines = [
            "",
            f"  Meridian listens on {'https' if settings.listen.tls else 'http'}://{settings.listen.host}:{port}",
            f"  health, metrics     {control}/healthz  {control}/metrics",
            f"  development key     {self._key}",
            f"  admin token         {settings.admin_token.reveal()}",
        ]
        lines += [f"  may be spent        {key.provider}, by the key in {key.variable}" for key in self._found.keys]
        lines += [f"  not a key           {name} is set and can't be used" for name in self._found.unusable]
        lines += [
            f"  found               {server.title} at {server.url}"
            + (f", as {server.provider}/…" if server.provider else ", which can't be used yet")
            for server in self._found.servers
        ]
        for one in stand_ins():
            lines += ["", f"  {one.place}, {one.country}:", f"    {curl(here, self._key, model_of(one), one.country)}"]
        return "\n".join([*lines, "", ""])
