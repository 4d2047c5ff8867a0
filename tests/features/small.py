"""A dataset of a few rows."""

from __future__ import annotations

import math

from features.build.column_reader import NO_ID
from features.interactions import MICROSECONDS_PER_DAY as DAY
from tests.support.random_logs import Shop

NAN = math.nan
VIEW, BOUGHT, REVIEW = 0, 3, 4
SMALL = Shop(
    [
        (1, 10, VIEW, NAN, 0, 0),
        (1, 10, BOUGHT, NAN, 0, 90 * DAY),
        (1, 20, REVIEW, 1.0, 0, 90 * DAY),
        (7, 20, -1, NAN, 5, 10 * DAY),
        (NO_ID, 30, BOUGHT, NAN, 6, 20 * DAY),
    ],
    {10: (0, 2, 1), 40: (50 * DAY, 3, NO_ID)},
    {7: (60 * DAY, '{"C": 0.5}', "{}"), 9: (1, "{}", '["y"]')},
)
