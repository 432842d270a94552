"""What scripts/setup cannot say well in bash. Standard library only: it runs before anything is installed.

    ground.py port [WISH]              prints a free loopback port, the wish when it is free
    ground.py unpack WHEEL TO FOLDER...  unpacks these folders of a wheel; what stands in bin/ becomes executable
"""

import os
import pathlib
import socket
import sys
import zipfile


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


COMMANDS = {"port": port, "unpack": unpack}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
