"""A name server (dnslib's own) for the records of one zone file, read anew for each answer: port and file are given."""

import pathlib
import sys
import time

from dnslib import RCODE, RR
from dnslib.server import BaseResolver, DNSLogger, DNSServer


class Zone(BaseResolver):
    def resolve(self, request, handler):
        reply = request.reply()
        records = RR.fromZone(pathlib.Path(sys.argv[2]).read_text())
        found = [record for record in records if record.rname == request.q.qname and record.rtype == request.q.qtype]
        if not found:
            reply.header.rcode = RCODE.NXDOMAIN
        for record in found:
            reply.add_answer(record)
        return reply


for over_tcp in (False, True):
    quiet = DNSLogger(logf=lambda line: None)
    DNSServer(Zone(), address="127.0.0.1", port=int(sys.argv[1]), tcp=over_tcp, logger=quiet).start_thread()
print("ready", flush=True)
while True:
    time.sleep(3600)
