"""nginx twice: as the model server behind everything, and as the proxy that everything is compared with."""

import grp
import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

_CONNECTIONS = 16_384


def binary() -> str | None:
    """Where nginx is; distributions put it where only root looks."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def command(configuration: Path) -> list[str]:
    """Run nginx in the foreground with `configuration`, whatever its default error log is."""
    return [binary() or "nginx", "-c", str(configuration), "-e", "stderr"]


def upstream_configuration(folder: Path, ports: Sequence[int], answer: bytes) -> str:
    """A server that answers each chat with the same bytes."""
    listens = " ".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in ports)
    return _frame(
        folder,
        f"""
  server {{
    {listens}
    default_type application/json;
    location = /v1/chat/completions {{
      add_header x-request-id req_31d0c9e27b always;
      add_header openai-processing-ms 12 always;
      return 200 '{answer.decode()}';
    }}
    location = /v1/models {{ return 200 '{{"object":"list","data":[{{"id":"bench-upstream","object":"model"}}]}}'; }}
    location = /health {{ return 200 '{{}}'; }}
  }}""",
    )


def proxy_configuration(folder: Path, routes: Mapping[str, tuple[int, Sequence[int]]]) -> str:
    """A plain reverse proxy: one server for each kind of upstream, by its name: own port, upstream ports."""
    servers = "".join(
        f"""
  upstream {name} {{
    {" ".join(f"server 127.0.0.1:{port};" for port in targets)}
    keepalive 512; keepalive_requests 1000000000; keepalive_timeout 1h;
  }}
  server {{ listen 127.0.0.1:{own} backlog=4096; location / {{ proxy_pass http://{name}; }} }}"""
        for name, (own, targets) in routes.items()
    )
    # Bodies of 64 KiB go to disk with the default client_body_buffer_size of 16k.
    return _frame(
        folder,
        f"""
  client_body_buffer_size 256k;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Authorization "Bearer bench-upstream-key";
  proxy_buffering off;
  proxy_read_timeout 300s;
  {servers}""",
    )


def _frame(folder: Path, http: str) -> str:
    # As root, nginx would give its worker to a user who may not write into the folder.
    user = ""
    if os.geteuid() == 0:
        user = f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name};"
    temp = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {_CONNECTIONS}; }}
http {{
  access_log off;
  {temp}
  keepalive_timeout 1h; keepalive_requests 1000000000;
  tcp_nodelay on;
  {http}
}}
"""
