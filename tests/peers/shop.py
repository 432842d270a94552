"""A small product of our own for judging the stand-in Twilio: answers webhooks with the TwiML that a test gives, holds
the media stream, and keeps all it was sent. Written with other people's parts only (http.server, websockets)."""

import http.server
import json
import queue
import threading
import urllib.parse

from websockets.sync.server import serve

BODY_BYTES_MAX = 1 << 20


class Shop:
    """Webhooks at `url`, media streams at `stream_url`; what came stands in `requests` and `streams`."""

    def __init__(self):
        self.requests = queue.Queue()
        self.streams = queue.Queue()
        self.answers = {}
        self.hangs_up = False
        self.opened = threading.Event()
        shop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(min(int(self.headers.get("content-length", 0)), BODY_BYTES_MAX)).decode()
                form = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
                shop.requests.put(Request(shop.url + self.path, dict(self.headers.items()), form))
                answer = str(shop.answers.get(urllib.parse.urlsplit(self.path).path, "")).encode()
                self.send_response(200)
                self.send_header("content-type", "text/xml")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.ws = serve(self.hold, "127.0.0.1", 0)
        self.stream_url = f"ws://127.0.0.1:{self.ws.socket.getsockname()[1]}/media/one"
        for server in (self.http, self.ws):
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def hold(self, socket):
        """Sends a frame and a mark after the first second of audio, then listens until the end, or hangs up there."""
        stream = Stream(dict(socket.request.headers.raw_items()), [])
        for text in socket:
            frame = json.loads(text)
            stream.frames.append(frame)
            self.opened.set()
            if frame["event"] == "media" and frame["media"]["chunk"] == "50":
                sid = frame["streamSid"]
                socket.send(json.dumps({"event": "media", "streamSid": sid, "media": frame["media"]}))
                socket.send(json.dumps({"event": "mark", "streamSid": sid, "mark": {"name": "heard"}}))
                if self.hangs_up:
                    break
        self.streams.put(stream)

    def stop(self):
        self.http.shutdown()
        self.ws.shutdown()


class Request:
    def __init__(self, url, headers, form):
        self.url, self.form = url, form
        self.headers = {name.lower(): value for name, value in headers.items()}


class Stream:
    def __init__(self, headers, frames):
        self.frames = frames
        self.headers = {name.lower(): value for name, value in headers.items()}
