"""
Cut the power of a machine that saves checkpoints, 20 times, and see what is left.

    make power-test

A writer saves one state after the other to an ext4 file system in a file, and
acknowledges each on a pipe. At a random moment it is stopped and the file is copied:
the copy holds what had reached the disk, and nothing of what only the memory held.
The copy is mounted, which makes the file system recover from its journal, and the
newest state that was acknowledged before the cut, or a newer one, must be restored.

The same has to fail without `fsync`, and without that of the files or of the folders:
else the test would see nothing.

Mounting takes root and the loop devices of Linux. What this does not show is a disk
that lies about its cache, or loses writes that it was not asked to flush: whatever
the file system handed to the loop device is in the copy.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import nn

from scaffold_runtime import Checkpoint, Engine, UserError

IMAGE_SIZE = 64 << 20  # Bytes.
LONGEST_WAIT = 0.5  # Seconds between two cuts.
TRAINING = 0.005  # Seconds between two states; a cut falls there or into the writing.
BOTH = "files and folders"
FLUSHED = [BOTH, "nothing", "files alone", "folders alone"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if missing := what_is_missing():
        print(f"power_test.py: {missing}", file=sys.stderr)
        return 2

    lost = {flushed: cut_the_power(chosen, flushed) for flushed in FLUSHED}
    blind = [flushed for flushed in FLUSHED if flushed != BOTH and not lost[flushed]]
    if lost[BOTH]:
        print("power_test.py: acknowledged checkpoints were lost", file=sys.stderr)
    for flushed in blind:
        print(f"power_test.py: flushing {flushed} loses nothing: a blind test", file=sys.stderr)
    return 1 if lost[BOTH] or blind else 0


def what_is_missing() -> str | None:
    """Return in words why this machine cannot run the test, if it cannot."""
    if sys.platform != "linux":
        return f"it needs Linux, and this is {sys.platform}"
    if os.getuid() != 0:
        return "it needs root, to mount; run `sudo make power-test`"
    for program in ("mkfs.ext4", "losetup", "mount", "umount"):
        if shutil.which(program) is None:
            return f"it needs {program}; install e2fsprogs and util-linux"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted(make_image(Path(folder) / "image"), Path(folder) / "disk"):
                return None
        except subprocess.CalledProcessError as error:
            reason = " ".join(error.stderr.split()) or f"exit status {error.returncode}"
            return f"it needs loop devices and mount, and {error.cmd[0]} says: {reason}"


# --- Cuts -----------------------------------------------------------------


def cut_the_power(chosen: argparse.Namespace, flushed: str) -> list[str]:
    """Return, and print, what was lost in each cut that lost something."""
    lost, chance = [], random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        image, disk = make_image(Path(name) / "image"), Path(name) / "disk"
        with mounted(image, disk) as device, Writer(disk, flushed) as writer:
            for cut in range(1, chosen.cuts + 1):
                time.sleep(chance.uniform(0.0, LONGEST_WAIT))
                acknowledged = writer.stop()
                copy = copy_at_rest(image, device)
                writer.go_on()
                found = restored_from(copy)
                if found < acknowledged:
                    what = f"state {found}" if found else "nothing"
                    lost.append(f"    cut {cut}: state {acknowledged} acknowledged, {what} found")
    print(f"{flushed} flushed: {len(lost)} of {chosen.cuts} cuts lost what was acknowledged")
    print("".join(f"{line}\n" for line in lost[:3]), end="", flush=True)
    return lost


def copy_at_rest(image: Path, device: str) -> Path:
    """Copy the disk as it is at one moment: anew, if the kernel wrote to it meanwhile."""
    copy = image.with_name("copy")
    while True:
        before = requests_of(device)
        shutil.copyfile(image, copy)
        if requests_of(device) == before and before[1] == "0":
            return copy


def requests_of(device: str) -> tuple[str, str]:
    """Return how many requests to write a device has served, and how many of all kinds wait."""
    numbers = Path("/sys/block", Path(device).name, "stat").read_text().split()
    return numbers[4], numbers[8]


def restored_from(image: Path) -> int:
    """Mount a disk as after a power cut, and return the iteration that is restored, or 0."""
    folder = image.with_name("after")
    with mounted(image, folder):
        engine, checkpoint = make_checkpoint(folder)
        try:
            checkpoint.restore()
        except UserError:
            return 0
        return engine.state.iteration


# --- The writer -----------------------------------------------------------


class Writer:
    """A process that saves one state after the other, and acknowledges each."""

    def __init__(self, disk: Path, flushed: str) -> None:
        self._acknowledged, acknowledge = os.pipe()
        os.set_blocking(self._acknowledged, False)
        self._newest = 0
        self._process = os.fork()
        if not self._process:
            try:
                save_forever(disk, acknowledge, flushed)
            finally:
                os._exit(1)
        os.close(acknowledge)

    def stop(self) -> int:
        """Stop it where it is, and return the newest iteration it acknowledged."""
        os.kill(self._process, signal.SIGSTOP)
        _, status = os.waitpid(self._process, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            raise RuntimeError("the writer ended by itself")
        with suppress(BlockingIOError):
            self._newest = int(os.read(self._acknowledged, 1 << 20).split()[-1])
        return self._newest

    def go_on(self) -> None:
        os.kill(self._process, signal.SIGCONT)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._acknowledged)


def save_forever(disk: Path, acknowledge: int, flushed: str) -> None:
    fsync = os.fsync

    def fsync_some(descriptor: int) -> None:
        what = "folders" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "files"
        if what in flushed:
            fsync(descriptor)

    os.fsync = fsync_some
    engine, checkpoint = make_checkpoint(disk)
    while True:
        engine.state.iteration += 1
        checkpoint.save()
        os.write(acknowledge, b"%d " % engine.state.iteration)
        time.sleep(TRAINING)


def make_checkpoint(disk: Path) -> tuple[Engine, Checkpoint]:
    engine = Engine(lambda engine, batch: None)
    parts = {"trainer": engine, "model": nn.Linear(300, 300)}
    return engine, Checkpoint(disk / "runs" / "checkpoints", parts)


# --- Disks ----------------------------------------------------------------


def make_image(image: Path) -> Path:
    """Make an empty file system in a file."""
    with image.open("wb") as file:
        file.truncate(IMAGE_SIZE)
    run("mkfs.ext4", "-q", str(image))
    return image


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[str]:
    """Mount a file system in a file for the length of a block; the value is its device."""
    folder.mkdir(exist_ok=True)
    device = run("losetup", "--find", "--show", str(image))
    try:
        run("mount", device, str(folder))
        try:
            yield device
        finally:
            run("umount", str(folder))
    finally:
        run("losetup", "--detach", device)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
