"""What aiohttp answers on the data plane's port: forms with files, and WebSocket. Imported only when it is needed."""
