"""What must not change in a folder, and what all kinds of spoiled files are made with."""

import os
import shutil
from pathlib import Path


def snapshot(folder, inside=""):
    """What is there, to be compared: names, sizes and times of change."""
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == "__pycache__":
                continue
            name, is_folder = inside + entry.name, entry.is_dir(follow_symlinks=False)
            # A lock is taken anew, and has nothing in it.
            if is_folder or entry.name == ".lock":
                found[name] = None
            else:
                facts = entry.stat(follow_symlinks=False)
                found[name] = (facts.st_size, facts.st_mtime_ns)
            if is_folder:
                found |= snapshot(entry.path, f"{name}/")
    return found


class Evil:
    """Unpickling it writes a file: loading has executed code."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return Path.touch, (Path(self.mark),)


def copied(folder, place):
    """A copy that takes no room: its files are links, which nobody writes to in place."""
    shutil.copytree(folder, place, copy_function=os.link)
    return place
