"""The parts of a publication; `gate.publish` tells the story that they make together."""
