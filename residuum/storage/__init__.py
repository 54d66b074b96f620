"""The only room that writes files.

What belongs together is named by a manifest that is written last. Everything is tensors
(safetensors) or JSON; no pickle is written, and what is read is checked against a digest taken when
it was written.
"""

from .cache import Cache, CachedFile
from .files import (
    append_line,
    canonical,
    json_digest,
    make_folder,
    new_folder,
    parse_json,
    read_bytes,
    read_json,
    read_lines,
    remove,
    remove_folder,
    require_new_folder,
    seal,
    sha256,
    sweep_temporaries,
    write_bytes,
    write_json,
    write_text,
)
from .locks import Lock, holder
from .tensors import (
    Digest,
    Entry,
    TensorFile,
    memory_bytes,
    read_tensors,
    tensor_digest,
    write_tensors,
)
