"""Ilgi, a diary kept by phone: the bot, by rings. What stands higher may import what stands lower.

The core imports nothing above it, and no shell the app; doors/ knows chatting.py and metrics.py, and diary/ journal.py.

    the app       __main__.py → workers.py (several processes), port.py, lean.py → server.py (one) → app.py, web.py,
                  wiring.py (what it has: process.py) → console.py, hung.py, garbage.py, keepalive.py, loop_lag.py
    one call      call.py: admission.py lets it in, line.py reads its socket, the talk of conversation/ decides;
                  speaker.py → making.py make a reply, playout.py → track.py let it be heard, keeper.py keeps what was
                  said, recorder.py → journal.py its wire messages; watchdog.py sees that its stream is alive
    besides       chatting.py → chat.py (a question to the diary); streaming.py, summary_wait.py (a streaming job);
                  worker.py → jobs.py (the work after a call); metrics.py, tracing.py (what is measured)
    commands      doctor/, streamer/, forget.py, rotate.py; the lab and its benches in lab/, which nothing imports
    shells        doors/ (what is asked of us), services/ (whom we ask), diary/ (what is kept)
    core          conversation/ (turn-taking and dialogue), audio/, protocols/ (the wire): no socket, clock or log
    everywhere    settings.py, environ.py, errors.py, close_codes.py; texts/ (words for callers and models), pages/
"""
