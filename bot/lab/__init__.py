"""The lab: everything outside Ilgi, rebuilt on the loopback, and what is measured with it.

It may import anything; nothing but the command line imports it. What stands left of an arrow uses what stands right.

Twilio        twilio.py (the whole) → phonecall.py (one call) → line.py (one media stream), wire.py (HTTP, dialling,
              signatures), twiml.py, callbacks.py, playback.py (what the ear hears), inspection.py (breaches), tape.py
              (<Record>), witness.py (what is noted) → report.py → silences.py;
              twilio_rest.py (the REST API) → recordings.py, twilio_messages.py;
              answering.py (who picks up a call of the bot's) → twilio_messages.py, wire.py
its callers   caller.py → script.py, acts.py (what they do), utterances.py, level.py; messages.py makes wire fixtures
RTZR          rtzr.py (the server) → rtzr_connection.py (one socket) → rtzr_messages.py; rtzr_files.py (its files),
              rtzr_behaviour.py (delays, faults, report); hearing.py (cuts speech into utterances) → tracking.py,
              matching.py (find them in the audio); for many at once hearing_by_heart.py
OpenAI        openai.py (the server) → openai_behaviour.py, model_texts.py and model_answers.py (what it answers),
              openai_voice.py
browsers      browser.py (a page's talk over /ws) → browser_playback.py
text chat     chat_client.py (a client, to be copied); chat_stage.py (the chat in a process of its own)
whole calls   stage.py (all of these, and a bot in a process of its own) ← demo.py, telephone.py (`call`);
              waterfalls.py (where the time of each turn went)
chaos         chaos.py → chaos_batch.py (some calls, one fault) → chaos_cases.py (the faults), chaos_callers.py;
              fleet.py (several bots) → router.py, warped.py, stage.py; chaos_report.py (the table)
PostgreSQL    postgres.py (the server) → postgres_guard.py (ends it with its owner), postgres_install.py
in common     loopback.py (RTZR, OpenAI, the REST API, the router), http.py (OpenAI, the REST API), wav.py
README        diagram.py draws the table of turn-taking
recordings    recording.py makes recorded calls, replay.py plays them through the core
fixtures      fixtures.py makes them again → utterances.py, utterances.toml, noises.py, messages.py
benches       bench_audio.py; bench_vad.py → vad_tally.py, vad_calls.py;
              bench_turns.py → turn_scripts.py, turn_figures.py; bench_doors.py → stage.py, browser.py;
              bench_chat.py → chat_stage.py; bench_search.py → year.py;
              bench_jobs.py → timed.py (a bot that notes how late its loop is), stage.py;
              bench_load.py → load_lines.py (all that phone at once) → load_line.py; raw_parts.py (the least that it can
              cost); scraped.py (what /metrics tells);
              bench_soak.py → soak_callers.py, soak_faults.py, soak_report.py, probed.py (a bot that tells what lives
              in it), procfs.py;
              bench_abuse.py → abusers.py → abuser_peer.py; load_lines.py
"""
