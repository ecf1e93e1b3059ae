"""What sells where: the tables of twelve shops, each added up in the sandbox, joined here."""

import csv
import io
import random
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from ambientd.client import LocalMesh

STATS = Path(__file__).parents[1] / "csv-stats" / "stats.wasm"
SHOPS = 12
ROWS = 500
GOODS = {"bread": 350, "cheese": 1_290, "honey": 890, "tea": 720}
"""What is sold, and its usual price in hundredths."""


def sales_of(shop: int) -> bytes:
    """Make up a shop's table, the same one every time."""
    chance = random.Random(shop)
    lines = ["item,price"]
    for _ in range(ROWS):
        item = chance.choice(sorted(GOODS))
        lines.append(f"{item},{GOODS[item] * chance.randint(90, 110) // 100 / 100:.2f}")
    return ("#group-by item\n" + "\n".join(lines) + "\n").encode()


sold: dict[str, int] = defaultdict(int)
earned: dict[str, Decimal] = defaultdict(Decimal)
with LocalMesh() as mesh:
    for table in mesh.map(STATS, [sales_of(shop) for shop in range(SHOPS)], assurance="replicated"):
        for row in csv.DictReader(io.StringIO(table.decode())):
            if row["column"] == "price":
                sold[row["item"]] += int(row["numbers"])
                earned[row["item"]] += int(row["numbers"]) * Decimal(row["mean"])

print(f"{'item':8}{'sold':>6}{'earned':>12}")
for item in sorted(sold):
    print(f"{item:8}{sold[item]:6}{earned[item]:12.2f}")
