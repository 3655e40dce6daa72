"""All that ffmpeg may open of a user's file: local files only, of these containers, by these decoders.

Whatever names other files or addresses (playlists, concat scripts, session descriptions, image patterns, references of
QuickTime) is none of them, so that it is refused before anything is opened.
"""

from collections.abc import Mapping
from typing import Any

PROTOCOL = "file"

DEMUXERS = ("mov", "matroska", "avi", "asf", "flv", "mpegts", "mpeg", "mp3", "wav", "flac", "ogg", "aac")
"""mp4 mov m4a 3gp, mkv webm, avi, wmv wma, flv, ts m2ts, mpg vob, and the sound files, by ffmpeg's names."""

PICTURE_DECODERS = (
    *("h264", "hevc", "libdav1d", "libaom-av1", "av1", "vp8", "vp9", "libvpx", "libvpx-vp9", "mjpeg", "theora"),
    *("mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "h261", "h263", "h263p", "h263i"),
    *("wmv1", "wmv2", "wmv3", "vc1", "mss1", "mss2", "wmv3image", "vc1image", "msvideo1", "msrle", "cinepak"),
    *("flv", "flashsv", "flashsv2", "vp3", "vp5", "vp6", "vp6a", "vp6f", "indeo2", "indeo3", "indeo4", "indeo5"),
    *("svq1", "svq3", "qtrle", "rpza", "smc", "8bps", "prores", "dnxhd", "cfhd", "dvvideo", "jpeg2000", "png", "gif"),
    *("huffyuv", "ffvhuff", "ffv1", "utvideo", "lagarith", "magicyuv", "rawvideo", "v210", "yuv4", "hap", "fraps"),
    *("tscc", "camtasia", "tscc2", "zmbv", "camstudio", "truemotion1", "truemotion2", "mpegvideo", "snow", "dirac"),
)

SOUND_DECODERS = (
    *("aac", "aac_fixed", "aac_latm", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "mp3adu", "mp3adufloat"),
    *("mp3on4", "mp3on4float", "opus", "libopus", "vorbis", "libvorbis", "flac", "alac", "als", "ape", "tta"),
    *("wavpack", "ac3", "ac3_fixed", "eac3", "dca", "truehd", "mlp", "dolby_e", "s302m", "wmav1", "wmav2", "wmapro"),
    *("wmalossless", "wmavoice", "speex", "libspeex", "nellymoser", "amrnb", "amrwb", "libopencore_amrnb"),
    *("libopencore_amrwb", "gsm", "gsm_ms", "libgsm", "libgsm_ms", "g722", "g723_1", "g726", "g726le", "g729", "ilbc"),
    *("qcelp", "evrc", "qdm2", "qdmc", "mace3", "mace6", "imc", "iac", "atrac3", "atrac3plus", "truespeech", "sipr"),
    *("pcm_alaw", "pcm_mulaw", "pcm_s8", "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_u16le", "pcm_u16be", "pcm_s24le"),
    *("pcm_s24be", "pcm_u24le", "pcm_u24be", "pcm_s32le", "pcm_s32be", "pcm_u32le", "pcm_u32be", "pcm_s64le"),
    *("pcm_s64be", "pcm_f16le", "pcm_f24le", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_bluray"),
    *("pcm_dvd", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_swf", "adpcm_g722", "adpcm_g726", "adpcm_ct"),
    *("adpcm_yamaha", "adpcm_ima_amv", "adpcm_ima_dk3", "adpcm_ima_dk4"),
)
SUBTITLE_DECODERS = (
    *("mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text", "cc_dec", "libzvbi_teletextdec"),
    *("dvdsub", "dvbsub", "pgssub", "xsub"),
)
"""ffprobe opens a decoder for every track, also where nothing is decoded; all by ffmpeg's names."""

MAX_PIXELS = 8192 * 4320
"""The largest picture: 8K as cinemas have it."""

MAX_STREAMS = 1000

READING: Mapping[str, Any] = {
    "protocol_whitelist": PROTOCOL,
    "format_whitelist": ",".join(DEMUXERS),
    "codec_whitelist": ",".join((*PICTURE_DECODERS, *SOUND_DECODERS, *SUBTITLE_DECODERS)),
    "max_pixels": MAX_PIXELS,
    "max_streams": MAX_STREAMS,
}
"""Options of ffmpeg and ffprobe that go before every file of a user."""
