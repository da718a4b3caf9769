"""The tests that docs/testing.md shows, collected from there as they are."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "testing.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
exec(compile("\n".join(BLOCKS), str(PAGE), "exec"))
