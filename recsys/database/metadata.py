"""All tables of all domains in one place, for migrations and whatever walks over every table."""

from __future__ import annotations

from recsys.database.base import Base
from recsys.domains.analytics import tables as analytics
from recsys.domains.notifications import tables as notifications
from recsys.domains.orders import tables as orders
from recsys.domains.payments import tables as payments
from recsys.domains.products import tables as products
from recsys.domains.recommendations import tables as recommendations
from recsys.domains.recommendations.ab_tests import tables as ab_tests
from recsys.domains.recommendations.impressions import tables as exposures
from recsys.domains.recommendations.rules import tables as rules
from recsys.domains.recommendations.segments import tables as segments
from recsys.domains.users import tables as users
from recsys.events import tables as events
from recsys.imports import tables as imports
from recsys.jobs import tables as jobs
from recsys.privacy import tables as privacy
from recsys.search import tables as search
from recsys.search.synonyms import tables as synonyms

__all__ = ["DOMAIN_TABLES", "OWN_MODULES", "metadata"]

DOMAIN_TABLES = (
    users,
    products,
    orders,
    payments,
    notifications,
    analytics,
    recommendations,
    exposures,
    rules,
    segments,
    ab_tests,
)
"""The modules that define the domains' tables, from the lowest domain upwards."""

OWN_MODULES = (events, imports, jobs, search, synonyms, privacy)
"""Tables that belong to no domain."""

metadata = Base.metadata
