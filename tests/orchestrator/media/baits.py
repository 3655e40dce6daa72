"""Files that would make ffmpeg open other files or addresses, and a trap that notices when it does."""

import http.server
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.orchestrator.media.boxes import alias, box, rewritten, url
from tests.orchestrator.media.clips import ffmpeg

CANARY = "canary.mov"


@dataclass(frozen=True)
class Trap:
    """What the baits point to: media files in a folder, and a server on this machine that counts who connects."""

    folder: Path
    port: int
    visits: list[str] = field(default_factory=list)

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def canary(self) -> Path:
        return self.folder / CANARY


@contextmanager
def trap(folder: Path) -> Iterator[Trap]:
    """A set trap; plain.mov, plain.avi and what else the baits are made from lies beside the canary."""
    ffmpeg(folder, "{picture} {tone} {h264} -t 1 -c:a aac plain.mov")
    for name in (CANARY, "canary.sub", "index-of-pictures.sub"):
        (folder / name).write_bytes((folder / "plain.mov").read_bytes())
    ffmpeg(folder, "-i plain.mov -c copy canary.ts")
    ffmpeg(folder, "-i plain.mov -frames:v 3 canary%03d.png")
    ffmpeg(folder, "{tone} -t 1 plain.avi")
    ffmpeg(folder, "{tone} -t 1 plain.mp3")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write((folder / "canary.ts").read_bytes())

        def log_message(self, *_: object) -> None:
            return

    class Server(http.server.ThreadingHTTPServer):
        def process_request(self, request: Any, client_address: Any) -> None:
            found.visits.append(str(client_address))
            super().process_request(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    found = Trap(folder, server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Bait:
    """A file by name and content. `careless`: options with which plain ffmpeg takes it; None: no known ffmpeg does."""

    name: str
    content: Callable[[Trap], bytes]
    careless: str | None = None


PROTOCOLS = "-protocol_whitelist file,http,tcp,crypto,data,subfile,concat"
HLS = f"{PROTOCOLS} -allowed_extensions ALL"


def playlist(*lines: str) -> Callable[[Trap], bytes]:
    def content(trap: Trap) -> bytes:
        head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:0\n"
        text = head + "\n".join(lines) + "\n#EXT-X-ENDLIST\n"
        return filled(text, trap)

    return content


def text(template: str) -> Callable[[Trap], bytes]:
    return lambda trap: filled(template, trap)


def filled(template: str, trap: Trap) -> bytes:
    return (
        template.replace("WEB", trap.web)
        .replace("PORT", str(trap.port))
        .replace("FOLDER", str(trap.folder))
        .replace("CANARY", str(trap.canary))
        .encode()
    )


def plain(trap: Trap) -> bytes:
    return (trap.folder / "plain.mov").read_bytes()


def referring(reference: Callable[[Trap], bytes]) -> Callable[[Trap], bytes]:
    """A QuickTime file whose tracks lie elsewhere."""
    return lambda trap: rewritten(plain(trap), {b"dref": lambda _: reference(trap)})


def redirecting(trap: Trap) -> bytes:
    """A QuickTime reference movie (`rmra`)."""
    address = f"{trap.web}/x.mov".encode() + b"\0"
    reference = box(b"rdrf", struct.pack(">I4sI", 0, b"url ", len(address)) + address)
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", box(b"rmra", box(b"rmda", reference)))


def titled_avi(script: Callable[[Trap], bytes]) -> Callable[[Trap], bytes]:
    """An AVI file with a subtitle track (GAB2) that holds a script."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)

    def content(trap: Trap) -> bytes:
        data = (trap.folder / "plain.avi").read_bytes()
        inner = script(trap)
        packet = b"GAB2\0" + struct.pack("<HIHI", 2, 0, 4, len(inner)) + inner
        header = b"txts" + bytes(16) + struct.pack("<IIII", 1, 25, 0, 1) + bytes(20)
        stream = chunk(b"LIST", b"strl" + chunk(b"strh", header) + chunk(b"strf", b""))
        at = data.index(b"hdrl") - 8
        (size,) = struct.unpack_from("<I", data, at + 4)
        headers = bytearray(data[at + 8 : at + 8 + size])
        streams = headers.index(b"avih") + 8 + 24
        headers[streams : streams + 4] = struct.pack("<I", 2)
        movi = data.index(b"movi")
        (movi_size,) = struct.unpack_from("<I", data, movi - 4)
        body = chunk(b"LIST", b"movi" + chunk(b"01tx", packet) + data[movi + 4 : movi + movi_size])
        return chunk(b"RIFF", b"AVI " + chunk(b"LIST", bytes(headers) + stream) + body)

    return content


def pictured(mime: str, picture: str) -> Callable[[Trap], bytes]:
    """An MP3 file whose cover (ID3v2.3 APIC) is of this type and content."""

    def content(trap: Trap) -> bytes:
        frame = b"\0" + mime.encode() + b"\0\x03\0" + filled(picture, trap)
        frame = b"APIC" + struct.pack(">IH", len(frame), 0) + frame
        size = len(frame)
        header = b"ID3\x03\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
        sound = (trap.folder / "plain.mp3").read_bytes()
        return header + frame + sound

    return content


def attached(trap: Trap) -> bytes:
    """A Matroska file with attachments that name paths outside and hold scripts."""
    (trap.folder / "list.m3u8").write_bytes(filled("#EXTM3U\n#EXTINF:3,\nWEB/x.ts\n", trap))
    ffmpeg(
        trap.folder,
        "-i plain.mov -c copy -attach list.m3u8 -metadata:s:t:0 mimetype=application/vnd.apple.mpegurl "
        "-metadata:s:t:0 filename=../../../../../../tmp/octavia-outside.m3u8 "
        "-attach canary001.png -metadata:s:t:1 mimetype=image/png -metadata:s:t:1 filename=canary002.png attached.mkv",
    )
    return (trap.folder / "attached.mkv").read_bytes()


SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink" width="9" height="9">'
    '<image x:href="WEB/x.png"/><image x:href="file:CANARY"/></svg>'
)
ASS = (
    "[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: ../CANARY\n[V4+ Styles]\nFormat: Name, Fontname\n"
    "Style: Default,FOLDER/canary001.png\n[Events]\nFormat: Start, End, Text\n"
    "Dialogue: 0:00:00.00,0:00:02.00,{\\fnCANARY\\img(CANARY)}Hello\n"
)
MPD = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT3S"><Period>'
    '<AdaptationSet contentType="video"><Representation id="1" mimeType="video/mp4" bandwidth="1000">'
    "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>"
)
VARIANTS = (
    '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="b",URI="WEB/a.m3u8"\n'
    '#EXT-X-STREAM-INF:BANDWIDTH=9,AUDIO="a"\nWEB/v.m3u8\n'
)
SESSION = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio PORT RTP/AVP 0\n"
VOBSUB = "# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 0\n"
XSPF = (
    '<?xml version="1.0"?><playlist xmlns="http://xspf.org/ns/0/"><trackList><track><location>WEB/x.ts</location>'
    "</track></trackList></playlist>"
)
CPL = (
    '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
    "<ContentTitle>x</ContentTitle></CompositionPlaylist>"
)
WEB_SEGMENT = playlist("#EXTINF:3,", "WEB/x.ts")
DISK_SEGMENT = ("#EXTINF:3,", "file://FOLDER/canary.ts")

BAITS = (
    Bait("segment-on-the-web.mp4", WEB_SEGMENT, HLS),
    Bait("segment-on-disk.mp4", playlist(*DISK_SEGMENT), HLS),
    Bait("segment-beside.mkv", playlist("#EXTINF:3,", "canary.ts"), HLS),
    Bait("segment-joined.avi", playlist("#EXTINF:3,", "concat:WEB/x.ts|file:CANARY")),
    Bait("segment-of-a-part.mp4", playlist("#EXTINF:3,", "subfile,,start,0,end,99,,:FOLDER/canary.ts")),
    Bait("segment-in-the-list.mp4", playlist("#EXTINF:3,", "data:video/mp2t;base64,R0A=")),
    Bait("segment-encrypted.mp4", playlist("#EXTINF:3,", "crypto+file:FOLDER/canary.ts")),
    Bait("key-on-the-web.mp4", playlist('#EXT-X-KEY:METHOD=AES-128,URI="WEB/key"', *DISK_SEGMENT), HLS),
    Bait("map-on-the-web.mp4", playlist('#EXT-X-MAP:URI="WEB/init"', "#EXTINF:3,", "WEB/x.ts"), HLS),
    Bait("variants.mp4", text(VARIANTS), HLS),
    Bait("header-behind-a-playlist.mp4", lambda trap: WEB_SEGMENT(trap) + plain(trap), HLS),
    Bait("playlist-behind-a-header.mp4", lambda trap: box(b"ftyp", b"isomiso2\0\0\0\0") + WEB_SEGMENT(trap)),
    Bait("concat-beside.mp4", text("ffconcat version 1.0\nfile canary.mov\n"), ""),
    Bait("concat-on-disk.mp4", text("ffconcat version 1.0\nfile 'CANARY'\n"), "-safe 0"),
    Bait("concat-on-the-web.mov", text("ffconcat version 1.0\nfile 'WEB/x.ts'\n"), f"-safe 0 {PROTOCOLS}"),
    Bait("concat-in-the-list.mp4", text("ffconcat version 1.0\nfile 'data:video/mp2t;base64,R0A='\n")),
    Bait("dash-on-the-web.mp4", text(MPD.format("WEB/x.mp4")), HLS),
    Bait("dash-on-disk.mp4", text(MPD.format("file:CANARY")), HLS),
    Bait("dash-in-the-list.mp4", text(MPD.format("data:video/mp4;base64,AAAA"))),
    Bait("session.mp4", text(SESSION), "-protocol_whitelist file,udp,rtp -listen_timeout 1"),
    Bait("session-with-addresses.mp4", text(f"{SESSION}a=control:WEB/x\na=source:file:CANARY\n")),
    Bait("reference-beside.mov", referring(lambda trap: alias(str(trap.folder), CANARY)), "-enable_drefs 1"),
    Bait(
        "reference-on-disk.mp4",
        referring(lambda trap: alias(str(trap.folder), CANARY)),
        "-enable_drefs 1 -use_absolute_path 1",
    ),
    Bait("reference-on-the-web.mov", referring(lambda trap: url(f"{trap.web}/x.mov"))),
    Bait("reference-by-address-on-disk.mov", referring(lambda trap: url(f"file://{trap.canary}"))),
    Bait("reference-in-the-file.mov", referring(lambda _: url("data:video/mp4;base64,AAAA"))),
    Bait("redirection.mov", redirecting),
    Bait("subtitles-with-a-playlist.avi", titled_avi(WEB_SEGMENT)),
    Bait("subtitles-with-a-concat.avi", titled_avi(text("ffconcat version 1.0\nfile 'CANARY'\n"))),
    Bait("subtitles-with-fonts.avi", titled_avi(text(ASS))),
    Bait("canary%03d.png", lambda trap: (trap.folder / "canary001.png").read_bytes(), ""),
    Bait("index-of-pictures.mp4", text(VOBSUB), ""),
    Bait("canary.idx", text(VOBSUB), ""),
    Bait("styled.ass", text(ASS)),
    Bait("linked.srt", text('1\n00:00:00,000 --> 00:00:02,000\n<a href="WEB/x"><img src="CANARY">\n')),
    Bait("linked.vtt", text("WEBVTT\n\nSTYLE\n::cue { background: url(WEB/x) }\n\n00:00.000 --> 00:02.000\nHello\n")),
    Bait("linked.smi", text("<SAMI><BODY><SYNC Start=0><P><IMG SRC='WEB/x'></SAMI>")),
    Bait("attached.mkv", attached),
    Bait("cover-on-the-web.mp3", pictured("-->", "WEB/cover.png")),
    Bait("cover-with-links.mp3", pictured("image/svg+xml", SVG)),
    Bait("drawing.svg", text(SVG)),
    Bait("drawing.mp4", text(f'<?xml version="1.0"?>\n{SVG}')),
    Bait("list.xspf", text(XSPF)),
    Bait("list.asx", text('<asx version="3.0"><entry><ref href="WEB/x.ts"/></entry></asx>')),
    Bait("list.wmv", text("[Reference]\r\nRef1=WEB/x.ts?MSWMExt=.asf\r\nRef2=WEB/y.ts\r\n")),
    Bait("list.pls", text("[playlist]\nFile1=WEB/x.ts\nFile2=CANARY\nNumberOfEntries=2\n")),
    Bait("list.ram", text("WEB/x.ts\nfile:CANARY\n")),
    Bait("list.smil", text('<smil><body><video src="WEB/x.ts"/></body></smil>')),
    Bait("list.cue", text('FILE "CANARY" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n')),
    Bait("graph.mp4", text("movie=CANARY[out0];amovie=CANARY[out1]\n")),
    Bait("script.avs", text('DirectShowSource("CANARY")\n')),
    Bait("master.xml", text(CPL)),
    Bait("metadata.mp4", text(";FFMETADATA1\ntitle=x\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=1\n")),
)
