"""With what code we close a WebSocket. Source: RFC 6455, section 7.4.1, and IANA's registry of close codes.

A page and a client tell from it whether to come back; Twilio asks what comes next after any.
"""

NORMAL = 1000
POLICY = 1008
"""The peer is at fault, or nobody is signed in any more."""
BROKEN = 1011
GOING_AWAY = 1012
"""The server is being replaced."""
TRY_LATER = 1013
