import msgspec


class FileInfo(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A file or a folder; `file_size` in bytes, absent for folders and empty files as upstream has
    it.
    """

    path: str
    is_dir: bool
    file_size: int = 0
