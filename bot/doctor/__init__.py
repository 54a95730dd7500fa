"""`python -m bot doctor`: whether the settings are well-formed and everything they name can be reached.

    command.py      what is checked, all at once, and how it is printed
    row.py          one line of what was found
    advice.py       how to mend a setting
    telephone.py    Twilio's account and console, and the way from Twilio to us
    services.py     the recogniser, the model, the voices, the second opinion
    diary.py        the database, its keys, its clock and its jobs; the journals
    watching.py     the collector of spans

It looks and changes nothing: no diary, key or folder is made, no call is noted. No secret, and no number in full, is
in what it prints.
"""
