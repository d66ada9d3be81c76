"""Execute the notebooks and store their outputs, and say which stored outputs are older than the code they show.

recording     which functions of a package a program entered, which modules it imported, which files it opened
hook/         what Python runs at its start, so that it records
fingerprint   the source of these functions and the constants they name, as hashes
executing     a notebook in a fresh kernel; its outputs as they are stored
"""
