"""Still images as one-frame clips, against Pillow's own reading."""

import struct
import zlib

import numpy as np
import pytest
from making_media import number_of, numbered_picture
from PIL import Image, ImageOps

from openaffect.errors import MediaError
from openaffect.media.limits import Limits
from openaffect.media.probe import probe
from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "gif"])
def test_an_image_is_a_one_frame_clip(tmp_path, ending):
    path = tmp_path / f"face.{ending}"
    Image.fromarray(numbered_picture(25)).save(path)
    clip = read_clip(path)
    assert clip.frames.pixels.shape == (1, 48, 64, 3)
    assert clip.frames.times.tolist() == [0.0]
    assert number_of(clip.frames.pixels[0]) == 25
    assert clip.audio is None
    assert clip.audio_reason
    assert (clip.width, clip.height) == (64, 48)


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation(tmp_path, turn):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(numbered_picture(25, 64, 32)).save(path, exif=exif, quality=95)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    clip = read_clip(path)
    np.testing.assert_array_equal(clip.frames.pixels[0], upright)
    info = probe(path)
    assert (info.height, info.width) == (clip.height, clip.width) == upright.shape[:2]


def test_large_photos_are_scaled_down(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(numbered_picture(30, 3000, 2000)).save(path)
    clip = read_clip(path, sampling=Sampling(max_side=640))
    assert clip.frames.pixels.shape == (1, 427, 640, 3)
    assert number_of(clip.frames.pixels[0]) == 30
    with pytest.raises(MediaError, match=r"3000x2000 .*--max-pixels 6000000"):
        read_clip(path, limits=Limits(max_pixels=1_000_000))


def test_transparency_and_16_bits_look_as_on_white_paper(tmp_path):
    glass = np.zeros((8, 8, 4), np.uint8)
    glass[:, 4:] = 200, 0, 0, 255
    Image.fromarray(glass).save(tmp_path / "glass.png")
    pixels = read_clip(tmp_path / "glass.png").frames.pixels[0]
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 7].tolist() == [200, 0, 0]
    deep = np.full((8, 8), 257 * 100, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert (read_clip(tmp_path / "deep.png").frames.pixels == 100).all()


def test_a_cut_off_image_is_refused(tmp_path):
    path = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MediaError, match="damaged"):
        read_clip(path)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 30_000, 30_000)  # IHDR: width, height
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(MediaError, match="over the limit"):
        read_clip(path)
