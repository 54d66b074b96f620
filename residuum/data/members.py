"""The image files of a folder, a tar (any compression) or a zip, one by one, read in place.

Nothing is unpacked to disk. Members of archives that are links, devices or point outside are
refused; so are folders' links that leave it, and pipes and devices, before anything is read.
"""

import hashlib
import os
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath

from ..errors import DataError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
PARTS = {"train": "train", "test": "test", "val": "test", "valid": "test", "validation": "test"}
MOST_FILE_BYTES = 200_000_000
MOST_TOTAL_BYTES = 16_000_000_000
Contents = Iterator[tuple[PurePosixPath, bytes]]


class Members:
    """Iterate, once, for the images' paths inside the source and their bytes.

    Afterwards `folders` holds all folders seen, `left_out` how many entries of which kind were
    passed over. Names are text under any locale: UTF-8, other bytes as surrogates.
    """

    def __init__(self, path: Path):
        self.path = path
        self.folders: set[PurePosixPath] = set()
        self.left_out: Counter[str] = Counter()
        self._images: set[PurePosixPath] = set()
        self._above: dict[str, PurePosixPath] = {}  # by part, "" for none: the classes' folder
        self._bytes = 0

    def __iter__(self) -> Contents:
        if self.path.is_dir():
            return self._from_folder()
        return self._from_zip() if zipfile.is_zipfile(self.path) else self._from_tar()

    def _from_folder(self) -> Contents:
        base = os.fsencode(self.path)
        inside = os.path.join(os.path.realpath(base), b"")
        for above, folders, files in os.walk(base, onerror=self._refuse_folder):
            here = PurePosixPath(_text(os.path.relpath(above, base)))
            names = sorted(folders)
            folders[:] = [n for n in names if self._enters(here / _text(n), above, n, inside)]
            for name in sorted(files):
                member = here / _text(name)
                if self._takes(member):
                    yield member, self._read(os.path.join(above, name), inside)

    def _enters(self, member: PurePosixPath, above: bytes, name: bytes, inside: bytes) -> bool:
        """Whether to walk into a folder of a folder."""
        folder = os.path.join(above, name)
        if os.path.islink(folder):
            _require_inside(folder, inside)
            self.left_out["linked folders"] += 1
            return False
        return self._sees_folder(member)

    def _read(self, file: bytes, inside: bytes) -> bytes:
        try:
            if os.path.islink(file):
                _require_inside(file, inside)
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as opened:
                require_regular(os.fstat(descriptor), readable(file))
                content = opened.read(MOST_FILE_BYTES + 1)
        except OSError as error:
            self._refuse_folder(error)
            raise
        self._count(len(content), readable(file))
        return content

    def _refuse_folder(self, error: OSError) -> None:
        file = readable(os.fsencode(error.filename or self.path))
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error

    def _from_tar(self) -> Contents:
        try:
            with tarfile.open(self.path, "r|*", encoding="utf-8") as archive:
                for info in archive:
                    member = self._inside(info.name)
                    if info.isdir():
                        self._sees_folder(member)
                        continue
                    if not info.isreg():
                        wrong = f"member {info.name!r} is a link or device"
                        raise DataError(f"{self.path}: {wrong}; only plain files are read")
                    takes = self._takes(member)
                    self._count(info.size, self._name(member), image=takes)
                    if takes:
                        content = archive.extractfile(info)
                        yield member, content.read() if content else b""
        except DataError:
            raise
        except Exception as error:  # every decompressor raises its own
            what = "not a readable tar or zip archive, damaged, or cut short"
            raise DataError(f"{self.path}: {what} ({error})") from error

    def _from_zip(self) -> Contents:
        try:
            with zipfile.ZipFile(self.path) as archive:
                for info in archive.infolist():
                    member = self._inside(info.filename)
                    if info.is_dir():
                        self._sees_folder(member)
                    elif self._takes(member):
                        self._count(info.file_size, self._name(member))
                        yield member, archive.read(info)
        except DataError:
            raise
        except Exception as error:  # zlib, lzma and bz2 raise their own
            raise DataError(f"{self.path}: a damaged zip archive ({error})") from error

    def empty_class_folders(self) -> list[PurePosixPath]:
        """Folders beside those of the classes that hold no image."""
        full = {folder for image in self._images for folder in image.parents}
        above = set(self._above.values())
        return sorted(folder for folder in self.folders - full if folder.parent in above)

    def _name(self, member: PurePosixPath) -> str:
        return f"{self.path}: {readable(member)}"

    def _inside(self, name: str) -> PurePosixPath:
        member = PurePosixPath(name.replace("\\", "/"))
        if member.is_absolute() or ".." in member.parts:
            raise DataError(f"{self.path}: member {name!r} points outside the archive; refused")
        return member

    def _sees_folder(self, member: PurePosixPath) -> bool:
        if _hidden(member):
            self.left_out["hidden files or folders"] += 1
            return False
        if member.suffix.lower() in SUFFIXES:
            raise DataError(f"{self._name(member)}: a folder with the name of an image")
        self.folders.add(member)
        return True

    def _takes(self, member: PurePosixPath) -> bool:
        """Whether a file is one of the images; counted where it is not."""
        if _hidden(member):
            self.left_out["hidden files or folders"] += 1
        elif member.suffix.lower() not in SUFFIXES:
            self.left_out["files of other kinds"] += 1
        elif len(member.parts) < 2:
            self.left_out["images outside class folders"] += 1
        elif member in self._images:
            raise DataError(f"{self._name(member)}: twice in the archive")
        else:
            self._images.add(member)
            self._require_one_layout(member)
            return True
        return False

    def _require_one_layout(self, member: PurePosixPath) -> None:
        """All class folders lie in one folder, or in one train and one test folder beside it."""
        part, above = place(member)
        known = self._above.setdefault(part, above)
        bases = {at.parent if word else at for word, at in self._above.items()}
        if known != above or len(bases) > 1 or ("" in self._above and len(self._above) > 1):
            levels = sorted({known, above, *self._above.values()})[:4]
            places = ", ".join(repr(readable(level)) for level in levels)
            wrong = f"class folders in several places ({places})"
            advice = "Give one folder of class folders, or train/ and test/ with them"
            raise DataError(f"{self.path}: {wrong}. {advice}")

    def _count(self, size: int, where: str, image: bool = True) -> None:
        if image and size > MOST_FILE_BYTES:
            most = f"more than {MOST_FILE_BYTES // 10**6} MB, too large for one image"
            raise DataError(f"{where}: {most}")
        self._bytes += size
        if self._bytes > MOST_TOTAL_BYTES:
            raise DataError(f"{self.path}: {_TOO_LARGE}")


_TOO_LARGE = f"more than {MOST_TOTAL_BYTES // 10**9} GB. Give a smaller set"


def content_digest(path: Path) -> str:
    """sha256 of an archive's bytes, or of all that is read and seen in a folder."""
    if path.is_dir():
        digest, members = hashlib.sha256(), Members(path)
        for member, content in members:
            digest.update(f"{raw(member)!r} {len(content)} ".encode())
            digest.update(content)
        seen = sorted(map(raw, members.folders))
        digest.update(repr((seen, sorted(members.left_out.items()))).encode())
        return digest.hexdigest()
    next(iter(Members(path)), None)  # a huge file that is no archive is told before it is hashed
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def place(member: PurePosixPath) -> tuple[str, PurePosixPath]:
    """The part's word, "" for none, and the folder that the class folder lies in."""
    above = member.parent.parent
    word = above.name.lower()
    return (word if word in PARTS else ""), above


def require_regular(status: os.stat_result, where: str) -> None:
    """DataError: a pipe, socket or device (nothing is read of it), or larger than all may be."""
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{where}: a pipe, socket, device or folder, not a file; nothing was read")
    if status.st_size > MOST_TOTAL_BYTES:
        raise DataError(f"{where}: {_TOO_LARGE}")


def readable(name: str | bytes | PurePath) -> str:
    """For messages and figures: bytes that are not UTF-8 as `\\xe9`."""
    name = name if isinstance(name, bytes) else raw(name)
    return name.decode("utf-8", "backslashreplace")


def raw(name: str | PurePath) -> bytes:
    """The name's bytes, the same under any locale: names are ordered by them."""
    return str(name).encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _hidden(member: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in member.parts)


def _require_inside(link: bytes, inside: bytes) -> None:
    if not os.path.realpath(link).startswith(inside):
        wrong = f"a link that leaves {readable(inside)}"
        advice = "Copy what it points at, or point at its own folder"
        raise DataError(f"{readable(link)}: {wrong}. {advice}")
