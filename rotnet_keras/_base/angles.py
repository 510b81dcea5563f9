"""Which rotations there are; apart, since the command line's help waits for no other package."""

# Degrees, counter-clockwise; a rotation is its place here, and `rotation.py` says how to turn.
ANGLES = (0, 90, 180, 270)
