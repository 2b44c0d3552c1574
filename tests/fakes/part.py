"""A program that stands for any part of the stack.

    python part.py --port N [--say TEXT] [--fail [--complain]] [--never-ready]
                   [--drain SECONDS] [--deaf]

Answers 200 to every GET; SIGTERM ends it after `--drain` seconds, `--deaf` ignores it.
`--fail` ends it at once; with `--complain` as Prometheus does over a rule file.
`GET /die` ends it with code 7.
"""

import argparse
import http.server
import os
import signal
import sys
import threading
import time

COMPLAINT = r"""
level=info msg="Loading configuration file"
level=error component="rule manager" msg="loading groups failed" err="/x/bad.yml: 5:11: group \"x\""
level=error msg="Failed to apply configuration" err="error loading rules"
level=info msg="Scrape manager stopped"
level=error err="error loading config from \"/x/prometheus.yml\": one or more errors occurred"
level=info msg="See you next time!"
"""


class Handler(http.server.BaseHTTPRequestHandler):
    ready = True

    def do_GET(self) -> None:
        if self.path == "/die":
            os._exit(7)
        self.send_response(200 if self.ready else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--say", default="listening")
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("--complain", action="store_true")
    parser.add_argument("--never-ready", action="store_true")
    parser.add_argument("--drain", type=float, default=0.0)
    parser.add_argument("--deaf", action="store_true")
    options = parser.parse_args()
    print(options.say, flush=True)
    if options.fail:
        print(COMPLAINT if options.complain else "nodes.yaml:3:5 is wrong", file=sys.stderr)
        return 2
    Handler.ready = not options.never_ready
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def end(number: int, _frame: object) -> None:
        if not options.deaf:
            print(f"ending on {signal.Signals(number).name}", flush=True)
            time.sleep(options.drain if number == signal.SIGTERM else 0.0)
            os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
