"""The tables that the documented schema does not have; everything else in the seven schemas is documented."""

from __future__ import annotations

__all__ = ["OWN_TABLES"]

OWN_TABLES: tuple[str, ...] = (
    # the sender's id of an interaction: the same event sent twice counts once
    "recommendations_db.interaction_events",
    # one complete set of stored recommendations, of which one is live
    "recommendations_db.recommendation_generations",
    # since when each generation was shown: after a rollback one has several periods
    "recommendations_db.generation_periods",
    # each user's list, packed, of the generation that is shown and of the one before it
    "recommendations_db.stored_lists",
    # lists that are the same for everybody, such as similar products, of the same generations
    "recommendations_db.shared_lists",
    # rows of recommendations that left their user's lists: what is recommended again gets its id back
    "recommendations_db.retired_recommendations",
    # which of these a piece of feedback was of, as long as the documented column cannot name it
    "recommendations_db.feedback_of_retired",
    # who made which model active, when and why
    "recommendations_db.model_promotions",
    # which categories are bought again
    "recommendations_db.category_policies",
    # events that were published with what they tell of, until the relay has brought them to Redis
    "analytics_db.outbox",
    # which group has handled which event: each once
    "analytics_db.inbox",
    # the address of a product's page in the shop: the documented tables have no place for it
    "products_db.product_pages",
    # the shop's own vector of a product, such as that of its picture: it is not in the documented tables
    "products_db.product_embeddings",
    # each user finds a review helpful once
    "products_db.review_votes",
    # a checkout under its Idempotency-Key: a request sent twice, and a cart, are ordered once
    "orders_db.checkouts",
    # a payment or refund under its Idempotency-Key: a request sent twice moves money once
    "payments_db.payment_keys",
    # what a payment is made with, so that it can be finished after a crash
    "payments_db.payment_tokens",
    # webhooks that were taken in, each once
    "payments_db.webhook_events",
    # messages on their way out: the documented logs keep neither bodies nor tries
    "notifications_db.outgoing_messages",
    # which messages a user has received
    "notifications_db.sent_notices",
    # which user logged in with which guest session: the user gets the guest's late interactions, too
    "recommendations_db.guest_logins",
    # the sender's id of a piece of feedback: the same sent twice counts once
    "recommendations_db.feedback_events",
    # what the collector took in: a page view or event sent twice is stored once
    "analytics_db.collected_events",
    # bots that came by, counted by day: nothing else is kept of them
    "analytics_db.bot_hits",
    # runs of jobs: planned, missed, running and ended
    "analytics_db.job_runs",
    # imports that ended, and how: an alert has to know when the last one succeeded
    "analytics_db.import_runs",
    # keys of programs that call the API, as hashes
    "users_db.api_keys",
    # who created, revoked or rotated which of them
    "users_db.api_key_changes",
    # one-time tokens for passwords and addresses, as hashes
    "users_db.account_tokens",
    # roles in the console of accounts that are not administrators
    "users_db.staff_roles",
    # what can be searched of products, and the words they are made of
    "products_db.product_search",
    "products_db.search_words",
    # phrases that the shop's customers use for one another, and who changed which
    "products_db.search_synonyms",
    "products_db.search_synonym_changes",
    # what can be searched of users
    "users_db.user_search",
    # what was searched for and opened, counted by day
    "analytics_db.search_counts",
    "analytics_db.search_clicks",
    # what was answered to whom, swept after the days of intake.exposure_days
    "recommendations_db.exposures",
    # which answer, and which place in it, a piece of feedback is of
    "recommendations_db.feedback_exposures",
    # what the shop says on top of the model: the document has no place for it
    "recommendations_db.business_rules",
    # segments under a name, and their members, so that rules can be for these
    "recommendations_db.segments",
    "recommendations_db.segment_members",
    # who changed which rule, when, from what to what
    "recommendations_db.business_rule_changes",
    # which model is tested against the serving model, on which share of the shop's visitors
    "recommendations_db.ab_tests",
    # what came of displayed lists and of experiments, when it was last measured: every host displays the same
    "recommendations_db.measurements",
    # what users and guests allow by purpose
    "users_db.consents",
    # who was erased, as keyed hashes: late events are recognised and dropped
    "users_db.erased_identifiers",
    # models that learned from erased people, and by when they are to be replaced
    "recommendations_db.models_to_retrain",
)
