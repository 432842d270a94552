"""What scripts/setup cannot say well in bash. Standard library only: it runs before anything is installed.

    ground.py port [WISH]              prints a free loopback port, the wish when it is free
    ground.py unpack WHEEL TO FOLDER...  unpacks these folders of a wheel; what stands in bin/ becomes executable
    ground.py pip TO                   brings the wheel of pip from the package index
"""

import html
import os
import pathlib
import re
import socket
import sys
import urllib.parse
import urllib.request
import zipfile

PIP = "pip-25.3-py3-none-any.whl"
PIP_BYTES_MAX = 8 << 20
SECONDS_MAX = 60


def port(wish="0"):
    for wanted in (int(wish), 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            print(listener.getsockname()[1])
            return
    sys.exit("no free loopback port")


def unpack(wheel, to, *folders):
    target = pathlib.Path(to)
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            inside = pathlib.PurePosixPath(entry.filename)
            if entry.is_dir() or not any(inside.is_relative_to(folder) for folder in folders):
                continue
            if inside.is_absolute() or ".." in inside.parts:
                sys.exit(f"{wheel} names a file outside its folder: {entry.filename}")
            file = target / inside
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(archive.read(entry))
            file.chmod(0o755 if inside.parent.name == "bin" or ".so" in inside.name else 0o644)
    for directory, _, _ in os.walk(target):
        os.chmod(directory, 0o755)


def pip(to):
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    page = fetch(index).decode()
    for link in re.findall(r'href="([^"]+)"', page):
        address = urllib.parse.urljoin(index, html.unescape(link))
        if urllib.parse.urlsplit(address).path.endswith("/" + PIP):
            pathlib.Path(to).write_bytes(fetch(address))
            return
    sys.exit(f"{index} does not offer {PIP}; install pip (apt install python3-pip) and retry")


def fetch(address):
    with urllib.request.urlopen(address, timeout=SECONDS_MAX) as answer:
        return answer.read(PIP_BYTES_MAX)


COMMANDS = {"port": port, "unpack": unpack, "pip": pip}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
