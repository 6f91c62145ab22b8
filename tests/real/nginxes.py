"""nginx on both sides: before the gateway as its users' proxy, and between the gateway and a model server."""

import socket
from pathlib import Path

from tests.real.processes import Program

_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream to {{ server 127.0.0.1:{to}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port} reuseport;
    location / {{
      proxy_pass http://to;
      proxy_http_version 1.1;
      proxy_set_header connection "";
      proxy_set_header host $http_host;
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


class Nginx:
    """A proxy in front of a port of this machine, set up as its users are told: HTTP/1.1, nothing held back."""

    def __init__(self, program: str, folder: Path, to: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Held without listening, so that nobody else gets the port before nginx does.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._held.bind(("127.0.0.1", 0))
        self.port: int = self._held.getsockname()[1]
        path = folder / "nginx.conf"
        path.write_text(_CONFIGURATION.format(folder=folder, to=to, port=self.port), encoding="utf-8")
        self.program = Program([program, "-e", "stderr", "-p", str(folder), "-c", str(path)])

    def close(self) -> None:
        self.program.stop()
        self._held.close()
