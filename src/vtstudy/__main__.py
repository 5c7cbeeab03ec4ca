"""`python -m vtstudy` does the same as the command `vtstudy`."""

import sys

from vtlaunch import vtstudy

sys.exit(vtstudy())
