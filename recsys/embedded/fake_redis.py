"""What stands in for Valkey on Windows: fakeredis over TCP; not durable and without a password."""

from __future__ import annotations

import sys
from importlib import import_module


def main(port: int) -> None:
    """Serve on the loopback interface until the process is ended."""
    server = import_module("fakeredis").TcpFakeServer(("127.0.0.1", port), server_type="valkey")
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
