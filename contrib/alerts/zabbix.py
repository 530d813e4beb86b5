#!/usr/bin/env python3
"""Sends vinfer-sync's alerts to Zabbix by zabbix_sender, as a text of a trapper item.

    alerts:
      exec: [/usr/bin/python3, /usr/local/lib/vinfer-sync/zabbix.py, zabbix.example.org, crm-gateway, vinfer.alert]

The arguments are Zabbix's server, the host's name in Zabbix and the item's key. A trigger for it: last(/crm-gateway/vinfer.alert) does not
begin with "over:".
"""

import json
import subprocess
import sys

server, host, key = sys.argv[1:]
alert = json.load(sys.stdin)
text = ("over: " if alert["state"] == "over" else "") + alert["message"]
subprocess.run(["zabbix_sender", "-z", server, "-s", host, "-k", key, "-o", text], check=True, timeout=20)
