#!/usr/bin/env python3
"""Makes speech for the stand-in world: µ-law at 8 kHz, spoken by eSpeak NG.

    scripts/speech.py make          remakes every line of tests/fixtures/speech/lines.toml
    scripts/speech.py speak         reads JSON lines {"text", "voice"}; answers each with a JSON line {"bytes"} and the audio
    scripts/speech.py wav IN OUT    turns a .ulaw file into a .wav file to listen to

eSpeak NG comes as the PyPI wheel espeakng-loader (no root needed). When it cannot be imported, a virtual
environment with it is made below .dev/ and the program starts again in there.
"""

import argparse
import array
import ctypes
import hashlib
import json
import math
import os
import pathlib
import subprocess
import sys
import wave

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures" / "speech"
LOADER = "espeakng-loader==0.2.4"
RATE = 8000
FRAME = 160  # 20 ms of µ-law; lines are padded to whole frames with silence
TEXT_CHARACTERS_MAX = 2000
PAUSE_FRAMES_MAX = 15  # a pause between sentences must stay shorter than the silence that ends a turn
QUIET = 150  # mean magnitude below which a frame is a pause

# A caller sounds like a man on the phone, agents differ by name: (eSpeak voice, words per minute, pitch 0-99).
VOICES = {
    "caller": ("en-us+m3", 165, 35),
    "marin": ("en-us+f2", 175, 60),
    "cedar": ("en-us+m7", 170, 40),
    "alloy": ("en-us+f5", 175, 45),
    "ash": ("en-us+m1", 175, 45),
    "ballad": ("en-gb+m4", 165, 50),
    "coral": ("en-us+f3", 180, 65),
    "echo": ("en-us+m2", 170, 50),
    "sage": ("en-gb+f4", 170, 50),
    "shimmer": ("en-us+f1", 175, 70),
    "verse": ("en-us+m5", 180, 55),
}


def restart_with_loader():
    """Starts this program again in an environment that has the synthesiser."""
    home = ROOT / ".dev" / "speech"
    python = home / "bin" / "python"
    if pathlib.Path(sys.prefix) == home:
        sys.exit(f"speech.py: {LOADER} is installed in {home} but cannot be imported; remove that folder and retry")
    if not python.exists():
        print(f"speech.py: installing {LOADER} into {home}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, stdout=sys.stderr)
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", LOADER],
        check=True,
        stdout=sys.stderr,
    )
    os.execv(str(python), [str(python), str(pathlib.Path(__file__).resolve()), *sys.argv[1:]])


class Synthesiser:
    """eSpeak NG through its C interface, in the mode that hands samples to a callback."""

    RETRIEVE = 1
    CHARS_UTF8 = 1
    PARAMETER_RATE = 1
    PARAMETER_PITCH = 3

    def __init__(self, loader):
        self.library = ctypes.CDLL(loader.get_library_path())
        data = loader.get_data_path().encode()
        self.rate = self.library.espeak_Initialize(self.RETRIEVE, 500, data, 0)
        if self.rate <= 0:
            sys.exit("speech.py: eSpeak NG did not start")
        self.library.espeak_Info.restype = ctypes.c_char_p
        self.version = self.library.espeak_Info(None).decode()
        self.samples = array.array("h")
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.callback = kind(self._collect)
        self.library.espeak_SetSynthCallback(self.callback)

    def _collect(self, samples, count, _events):
        if samples and count > 0:
            self.samples.frombytes(ctypes.string_at(samples, count * 2))
        return 0

    def say(self, text, voice):
        """The µ-law of one line, padded to whole frames."""
        name, speed, pitch = VOICES.get(voice) or sorted(VOICES.values())[sum(voice.encode()) % len(VOICES)]
        self.samples = array.array("h")
        if self.library.espeak_SetVoiceByName(name.encode()) != 0:
            sys.exit(f"speech.py: eSpeak NG has no voice {name}")
        self.library.espeak_SetParameter(self.PARAMETER_RATE, speed, 0)
        self.library.espeak_SetParameter(self.PARAMETER_PITCH, pitch, 0)
        spoken = text[:TEXT_CHARACTERS_MAX].encode() + b"\0"
        self.library.espeak_Synth(spoken, len(spoken), 0, 1, 0, self.CHARS_UTF8, None, None)
        self.library.espeak_Synchronize()
        return without_long_pauses(encode(resample(self.samples, self.rate)))


def without_long_pauses(coded):
    """Whole frames, with silence at most PAUSE_FRAMES_MAX long between words and one frame of it at the end."""
    coded += b"\xff" * (-len(coded) % FRAME)
    kept, pause = [], []
    for start in range(0, len(coded), FRAME):
        frame = coded[start : start + FRAME]
        if sum(abs(linear(code)) for code in frame) < QUIET * FRAME:
            pause.append(frame)
            continue
        kept += pause[:PAUSE_FRAMES_MAX] + [frame]
        pause = []
    return b"".join(kept + pause[:1])


def resample(samples, rate):
    """Down to 8 kHz with a windowed-sinc low-pass at 3.5 kHz, one filter per phase."""
    divisor = math.gcd(RATE, rate)
    up, down = RATE // divisor, rate // divisor
    half = 32
    cutoff = 2 * 3500 / rate
    phases = []
    for phase in range(up):
        shift = phase / up
        taps = []
        for tap in range(-half + 1, half + 1):
            x = tap - shift
            sinc = cutoff if x == 0 else math.sin(math.pi * cutoff * x) / (math.pi * x)
            taps.append(sinc * (0.54 + 0.46 * math.cos(math.pi * x / half)))
        total = sum(taps)
        phases.append([tap / total for tap in taps])
    padded = array.array("h", bytes(2 * half)) + samples + array.array("h", bytes(4 * half))
    out = array.array("h")
    for index in range(len(samples) * up // down):
        position, phase = divmod(index * down, up)
        window = padded[position + 1 : position + 1 + 2 * half]
        value = sum(a * b for a, b in zip(window, phases[phase]))
        out.append(max(-32768, min(32767, round(value))))
    return out


def encode(samples):
    """16-bit linear to G.711 µ-law."""
    return bytes(map(ULAW.__getitem__, (sample & 0xFFFF for sample in samples)))


def _ulaw(sample):
    magnitude = min(abs(sample), 32635) + 132
    exponent = max(magnitude.bit_length() - 8, 0)
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    return ~((0x80 if sample < 0 else 0) | (exponent << 4) | mantissa) & 0xFF


ULAW = bytes(_ulaw(sample if sample < 32768 else sample - 65536) for sample in range(65536))


def linear(code):
    """One µ-law byte to a 16-bit sample."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 132 << (code >> 4 & 7)) - 132
    return -magnitude if code & 0x80 else magnitude


def make(synthesiser):
    """Every line of lines.toml into one file each, and the index."""
    import tomllib

    wanted = tomllib.loads((FIXTURES / "lines.toml").read_text())
    index = []
    for old in FIXTURES.glob("*.ulaw"):
        old.unlink()
    for voice, lines in wanted.items():
        for text in lines:
            audio = synthesiser.say(text, voice)
            words = "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split()[:5])
            name = f"{voice}-{words}-{hashlib.sha256(text.encode()).hexdigest()[:6]}.ulaw"
            (FIXTURES / name).write_bytes(audio)
            index.append(
                {
                    "text": text,
                    "voice": voice,
                    "file": name,
                    "ms": len(audio) // 8,
                    "synthesiser": "eSpeak NG",
                    "version": synthesiser.version,
                    "espeak_voice": VOICES[voice][0],
                    "rate": RATE,
                }
            )
            print(f"{len(audio) / RATE:6.2f} s  {voice:8} {text}")
    (FIXTURES / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n")
    total = sum(line["ms"] for line in index)
    print(f"{len(index)} lines, {total / 1000:.0f} s, {total * 8 // 1024} KiB")


def speak(synthesiser):
    """Answers one request after the other until stdin ends."""
    for line in sys.stdin.buffer:
        try:
            asked = json.loads(line)
            audio = synthesiser.say(str(asked["text"]), str(asked.get("voice", "caller")))
            head = {"bytes": len(audio)}
        except (ValueError, KeyError, TypeError) as problem:
            audio, head = b"", {"bytes": 0, "error": str(problem)}
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + audio)
        sys.stdout.buffer.flush()


def to_wav(source, target):
    samples = array.array("h", map(linear, pathlib.Path(source).read_bytes()))
    with wave.open(target, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("make", help="remake the committed fixtures")
    commands.add_parser("speak", help="synthesise on demand: JSON lines in, JSON line and audio out")
    wav = commands.add_parser("wav", help="convert one .ulaw file to .wav")
    wav.add_argument("source")
    wav.add_argument("target")
    asked = parser.parse_args()
    if asked.command == "wav":
        return to_wav(asked.source, asked.target)
    try:
        import espeakng_loader
    except ImportError:
        restart_with_loader()
    synthesiser = Synthesiser(espeakng_loader)
    return make(synthesiser) if asked.command == "make" else speak(synthesiser)


if __name__ == "__main__":
    main()
