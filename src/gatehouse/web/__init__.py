"""HTTP: parse, authorise, call one service, render."""

import warnings

# Pyramid 2.1 finds its assets by pkg_resources, which says of itself that it will go; the lock keeps one that
# has it.
warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
