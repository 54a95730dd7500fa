"""The command `stream`: a file of sound as a streaming job of a bot that runs somewhere.

command.py (the command) → client.py (the job, over the network) → sound.py (the file as PCM);
showing.py (what is printed).
"""
