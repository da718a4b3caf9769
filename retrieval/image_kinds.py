"""Recognizes image files by extension or first bytes, and files that users may take for images."""

import os
import re
import stat
import struct
from importlib.util import find_spec
from typing import Literal

Kind = Literal["image", "video", "heif", "shard", "packed", "inner", "other"]

HEAD_BYTES = 64
UNREAD: dict[Kind, str] = {
    "video": "a video: ctgi crop cuts the people out of it",
    "heif": "a HEIC image: pip install 'ctgi[heif]' to read it",
    "shard": "an archive beside images: name it by itself to take the images in it",
    "packed": "a compressed archive: unpack it first to take the images in it",
    "inner": "an archive in an archive: unpack the outer one, and name this one by itself",
}
"""Files that users may take for images, and what to do about them."""

_IMAGES = frozenset(
    {
        ".apng", ".avif", ".avifs", ".bmp", ".gif", ".icb", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc",
        ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif",
        ".tiff", ".vda", ".vst", ".webp",
    }
)  # fmt: skip
_HEIF = frozenset({".heic", ".heif", ".hif"})
_VIDEOS = frozenset(
    {
        ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv",
        ".webm", ".wmv",
    }
)  # fmt: skip
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".zip", ".7z", ".rar")
_OTHERS = frozenset(
    {  # not worth opening; a raw camera file has a thumbnail that would pass for the picture
        ".7z", ".arw", ".bak", ".bz2", ".cfg", ".cr2", ".cr3", ".csv", ".db", ".dng", ".docx", ".gz", ".h5",
        ".htm", ".html", ".ini", ".ipynb", ".json", ".jsonl", ".lock", ".log", ".md", ".mat", ".nef", ".npy",
        ".npz", ".onnx", ".orf", ".parquet", ".pdf", ".pkl", ".pt", ".pth", ".py", ".raf", ".rar", ".rst",
        ".rw2", ".safetensors", ".sh", ".sqlite", ".srt", ".svg", ".tar", ".toml", ".tsv", ".txt", ".xlsx",
        ".xml", ".yaml", ".yml", ".zip",
    }
)  # fmt: skip

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
)
_PPM = re.compile(rb"P[1-6fF]\s")
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_VIDEO_MAGIC = (b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\x1aE\xdf\xa3", b"FLV\x01")
_TGA_DEPTHS = {1: (8,), 2: (16, 24, 32), 3: (8, 16), 9: (8,), 10: (16, 24, 32), 11: (8, 16)}


def image_by_name(ending: str) -> bool:
    """Whether files with this extension (lower case) count as images without being opened."""
    return ending in _IMAGES or (ending in _HEIF and _heif_installed())


def is_packed(name: str) -> bool:
    """Whether a name is that of a compressed archive, in which nothing can be read alone."""
    return name.lower().endswith(_PACKED)


def tells_nothing(ending: str) -> bool:
    """Whether only the content of a file with this extension (lower case) shows what it is."""
    return ending not in _VIDEOS and ending not in _OTHERS and ending not in _HEIF


def kind_of(path: str) -> Kind:
    """The kind of a file, which is opened only if its extension says nothing."""
    ending = os.path.splitext(path)[1].lower()
    if ending in _VIDEOS:
        return "video"
    if is_packed(path):
        return "packed"
    if ending in _OTHERS:
        return "other"
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe would block
            return "other"
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return "other"
    return "image" if image_format(head, status.st_size) else _kind_by_content(head)


def image_format(head: bytes, size: int) -> str | None:
    """Pillow's name for the format of a file of `size` bytes, by its first `HEAD_BYTES`; None if unsupported."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if _PPM.match(head):
        return "PPM"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if brands := _brands(head):
        if brands & _AVIF_BRANDS:
            return "AVIF"
        return "HEIF" if brands & _HEIF_BRANDS and _heif_installed() else None
    return "TGA" if _is_tga(head, size) else None


def _kind_by_content(head: bytes) -> Kind:
    if brands := _brands(head):
        return "heif" if brands & _HEIF_BRANDS else "video"
    is_video = head.startswith(_VIDEO_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    return "video" if is_video else "other"


def _heif_installed() -> bool:
    return find_spec("pillow_heif") is not None


def _brands(head: bytes) -> set[bytes]:
    """The brands of an ISO media file (HEIC, AVIF, MP4, QuickTime); empty for any other file."""
    if head[4:8] != b"ftyp":
        return set()
    box = head[8 : int.from_bytes(head[:4], "big")]
    return {box[:4], *(box[start : start + 4] for start in range(8, len(box) - 3, 4))}


def _is_tga(head: bytes, size: int) -> bool:
    """TGA files have no signature, so every field of the header must make sense."""
    if len(head) < 18:
        return False
    id_bytes, has_map, kind = head[:3]
    map_start, map_length, map_depth, _, _, width, height, depth, flags = struct.unpack_from("<HHBHHHHBB", head, 3)
    if depth not in _TGA_DEPTHS.get(kind, ()) or not (width and height) or flags & 0xC0:
        return False
    if has_map != (kind in (1, 9)) or (not has_map and (map_start or map_length or map_depth)):
        return False
    pixels = 0 if kind > 8 else width * height * (depth // 8)  # packed from 9 on
    least: int = 18 + id_bytes + map_length * (map_depth // 8) + pixels
    return size >= least
