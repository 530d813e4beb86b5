#!/usr/bin/env python3
"""Sends vinfer-sync's alerts by mail, through an SMTP server that takes mail from this machine without a login.

    alerts:
      exec: [/usr/bin/python3, /usr/local/lib/vinfer-sync/mail.py, localhost:25, vinfer-sync@example.org, ops@example.org]

It speaks SMTP itself: programs as sendmail need rights that the service's sandbox does not give.
"""

import email.message
import json
import smtplib
import sys

server, sender, to = sys.argv[1:]
alert = json.load(sys.stdin)
over = alert["state"] == "over"

mail = email.message.EmailMessage()
mail["From"], mail["To"] = sender, to
mail["Subject"] = ("over: " if over else "") + alert["message"][:150].replace("\n", " ")
mail.set_content("%s\n\n%s\n\npipeline %s, since %s\n" % (alert["message"], "It is over." if over else "To do: " + alert["remedy"], alert["pipeline"], alert["since"]))
host, _, port = server.partition(":")
with smtplib.SMTP(host, int(port or 25), timeout=20) as smtp:
    smtp.send_message(mail)
