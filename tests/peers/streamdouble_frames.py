"""The frames of a media stream, held against those that streamdouble, a Twilio that is not ours, would have sent."""

import base64

import pytest

FRAME_BYTES = 160


def check_frames(frames, call_sid):
    """Every frame is the one that streamdouble builds at this place of this stream."""
    protocol = pytest.importorskip("streamdouble.protocol", reason="streamdouble wants Python >= 3.11")
    assert frames[0] == protocol.build_connected()
    start = frames[1]["start"]
    identity = protocol.StreamIdentity(start["streamSid"], start["accountSid"], start["callSid"])
    assert identity.call_sid == call_sid
    build = {
        "start": lambda n, frame: protocol.build_start(identity, n),
        "media": lambda n, frame: protocol.build_media(
            identity, n, next(chunks), int(frame["media"]["timestamp"]), base64.b64decode(frame["media"]["payload"])
        ),
        "mark": lambda n, frame: protocol.build_mark(identity, n, frame["mark"]["name"]),
        "dtmf": lambda n, frame: protocol.build_dtmf(identity, n, frame["dtmf"]["digit"]),
        "stop": lambda n, frame: protocol.build_stop(identity, n),
    }
    chunks = iter(range(1, len(frames)))
    for number, frame in enumerate(frames[1:], 1):
        assert frame == build[frame["event"]](number, frame)
    media = [frame["media"] for frame in frames if frame["event"] == "media"]
    times = [int(part["timestamp"]) for part in media]
    assert len(media) >= 100 and times == sorted(times)
    assert {len(base64.b64decode(part["payload"])) for part in media} == {FRAME_BYTES}
    assert [frame["event"] for frame in frames].count("mark") == 1
    assert frames[-1]["event"] == "stop"
