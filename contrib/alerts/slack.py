#!/usr/bin/env python3
"""Sends vinfer-sync's alerts to an incoming webhook of Slack, or of another chat that takes its form.

    alerts:
      exec: [/usr/bin/python3, /usr/local/lib/vinfer-sync/slack.py, /etc/vinfer-sync/slack_url]

The file holds the webhook's URL, which is a secret: root:vinfer-sync 0640.
"""

import json
import sys
import urllib.request

with open(sys.argv[1]) as f:
    url = f.read().strip()
alert = json.load(sys.stdin)
if alert["state"] == "over":
    text = ":white_check_mark: over: %s" % alert["message"]
else:
    text = ":warning: *%s*\n%s\n%s" % (alert["pipeline"], alert["message"], alert["remedy"])
body = json.dumps({"text": text}).encode()
request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
with urllib.request.urlopen(request, timeout=20):
    pass
