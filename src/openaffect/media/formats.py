"""Container formats and decoders that are let in, by FFmpeg's names.

Playlists are left out (they open other files or the network), and so are decoders that few people
use and that are therefore little tested against hostile files.
"""

# fmt: off
CONTAINERS = (
    "mov", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "gif", "dv", "wav",
    "w64", "mp3", "flac", "aac", "aiff", "amr", "caf",
)
VIDEO_DECODERS = frozenset((
    "h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "mpeg4", "mpeg2video",
    "mpeg1video", "h263", "flv", "theora", "mjpeg", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1",
    "wmv2", "wmv3", "vc1", "dvvideo", "prores", "dnxhd", "ffv1", "huffyuv", "rawvideo", "png",
    "gif",
))
AUDIO_DECODERS = frozenset((
    "aac", "aac_latm", "mp3", "mp3float", "mp2", "mp2float", "mp1", "mp1float", "opus", "libopus",
    "vorbis", "flac", "alac", "ac3", "eac3", "wmav1", "wmav2", "wmapro", "amrnb", "amrwb",
    "libopencore_amrnb", "libopencore_amrwb", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "gsm",
    "gsm_ms", "speex", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be",
    "pcm_s8", "pcm_u8", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw",
    "pcm_s16le_planar", "pcm_bluray",
))
# Decoders for which a keyframe cuts every dependency on what came before.
RANDOM_ACCESS_DECODERS = frozenset((
    "h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "mjpeg", "prores",
    "dnxhd", "png",
))

# Decoders that can leave out exactly those frames to which no other frame refers.
SKIPPING_DECODERS = frozenset(("h264", "mpeg1video", "mpeg2video"))

# Containers that store no display times: frames follow each other in decoder order.
UNTIMED_CONTAINERS = frozenset({"avi"})

# For messages.
READABLE = (
    "mp4, mov, mkv, webm, avi, mpg, ts, flv, wmv, gif, wav, mp3, flac, m4a, aac, ogg, opus, "
    "jpg, png, webp, bmp"
)

# File name endings by which a folder's clips are found; a file given by name may have any ending.
ENDINGS = frozenset((
    ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts",
    ".m2ts", ".flv", ".wmv", ".asf", ".ogv", ".dv", ".gif",
    ".wav", ".w64", ".mp3", ".flac", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".aiff", ".aif",
    ".amr", ".caf", ".wma", ".mka",
    ".jpg", ".jpeg", ".png", ".webp", ".bmp",
))
# fmt: on
