"""Who uses a folder of weights: a shared lock on it, which ends with the process that holds it, however it ends."""

import errno
import fcntl
import logging
import os
import weakref
from pathlib import Path

log = logging.getLogger(__name__)

UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EISDIR, errno.EINVAL}
LOCKS = Path("/proc/locks")


class Lease:
    """A folder in use as long as this object lives. FileNotFoundError when the folder is gone or on its way."""

    __slots__ = ("__weakref__", "_close")

    def __init__(self, folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._close = weakref.finalize(self, os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in UNSUPPORTED:
                log.warning("%s: its file system has no locks, so it can be removed while in use", folder)
                return
            self._close()
            if error.errno == errno.EWOULDBLOCK:
                raise FileNotFoundError(errno.ENOENT, "being removed", str(folder)) from error
            raise
        if os.fstat(handle).st_ino != folder.stat().st_ino:  # another folder took its name before we held the lock
            self._close()
            raise FileNotFoundError(errno.ENOENT, "replaced", str(folder))


def users(folder: Path) -> list[int]:
    """Ids of the processes that lock the folder, as the kernel lists them: 0 for one it does not name."""
    inode = folder.stat().st_ino
    pids = set()
    for line in LOCKS.read_text(encoding="ascii").splitlines() if LOCKS.exists() else ():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            pids.add(int(fields[4]))
    return sorted(pids)


def in_use(folder: Path) -> bool:
    """Whether a process has a lease of the folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(handle)
    return False
