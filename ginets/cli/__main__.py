"""`python -m ginets.cli`, the same as `ginets`."""

import sys

from . import main


sys.exit(main())
