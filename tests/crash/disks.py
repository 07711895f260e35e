"""Small disks of their own, for tests that fill them or make them read-only. Needs root."""

import contextlib
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Disk:
    path: Path

    @property
    def ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Leaves no byte free, or some."""
        with self.ballast.open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(4096)):
                pass
        if leave_bytes:
            size = self.ballast.stat().st_size
            with self.ballast.open("r+b") as ballast:
                ballast.truncate(max(0, size - leave_bytes))

    def free(self) -> None:
        self.ballast.unlink()

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)


@contextlib.contextmanager
def small_disk(path: Path, size_bytes: int) -> Generator[Disk]:
    """A file system in memory, mounted at `path`; skips the test where that is not allowed."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT TESTED: a full or read-only disk, which needs root: {done.stderr}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
