import struct
import zlib
from io import BytesIO

import pytest
from PIL import ExifTags, Image

from llm_chatbot.engine.vision import decoding
from llm_chatbot.engine.vision.decoding import PICTURE_FORMATS, decoded
from llm_chatbot.errors import UserError
from tests.pictures import picture_file, random_picture


@pytest.mark.parametrize("format", PICTURE_FORMATS)
def test_formats_of_browsers_and_cameras_are_read(format: str):
    assert decoded(picture_file(20, 10, format=format)).size == (20, 10)


def test_pixels_of_a_lossless_file_are_its_own():
    assert decoded(picture_file(20, 10)).tobytes() == random_picture(20, 10).tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_kind_of_pixels_becomes_rgb(mode: str):
    file = BytesIO()
    Image.new(mode, (4, 3)).save(file, "PNG")
    assert decoded(file.getvalue()).mode == "RGB"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_that_a_camera_says_to_turn_is_turned(format: str):
    file, exif = BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # its top is at the right
    random_picture(20, 10).save(file, format, exif=exif)
    assert decoded(file.getvalue()).size == (10, 20)


@pytest.mark.parametrize("format", PICTURE_FORMATS)
@pytest.mark.parametrize("kept", [0, 3, 20, 100])
def test_a_file_that_was_cut_off_is_said_to_be_damaged(format: str, kept: int):
    with pytest.raises(UserError) as caught:
        decoded(picture_file(60, 40, format=format)[:kept])
    assert caught.value.key == "image.damaged"


@pytest.mark.parametrize("data", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"P6 1 1 255 abc", b"%PDF-1.4", b"hi"])
def test_other_formats_are_refused(data: bytes):
    with pytest.raises(UserError) as caught:
        decoded(data)
    assert caught.value.key == "image.damaged"


def resized_header(data: bytes, width: int, height: int) -> bytes:
    """A PNG whose header promises another size."""
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


@pytest.mark.parametrize("size", [(60_000, 60_000), (20_000, 2_501)])
def test_a_picture_with_too_many_pixels_is_refused_before_they_are_unpacked(size: tuple[int, int], monkeypatch):
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(UserError, match="more than 50 million pixels"):
        decoded(resized_header(picture_file(20, 10), *size))


def test_the_limit_itself_is_allowed(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 200)
    assert decoded(picture_file(20, 10)).size == (20, 10)
