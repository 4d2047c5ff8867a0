"""The shop's own ids of a report's examples: usernames and SKUs as they are when the report is written."""

from __future__ import annotations

from recsys.database.session import unit_of_work
from recsys.own_ids.answers import skus_of, usernames_of
from training.report.document import EvaluationReport

__all__ = ["with_own_ids_of_examples"]


def with_own_ids_of_examples(report: EvaluationReport) -> EvaluationReport:
    """Return the report with the usernames of its example users and the SKUs of the products in their lists.

    A user or product that is gone since has none.

    Raises
    ------
    Unavailable
        When PostgreSQL does not answer.
    """
    users = {example.user for example in report.examples}
    places = [
        place
        for model in report.models
        for lists in model.examples.values()
        for example_list in lists
        for place in example_list.places
    ]
    with unit_of_work() as session:
        usernames = usernames_of(session, users)
        skus = skus_of(session, {place.product for place in places})
    examples = [
        example.model_copy(update={"username": usernames.get(example.user)}) for example in report.examples
    ]
    models = [
        model.model_copy(
            update={
                "examples": {
                    user: [
                        example_list.model_copy(
                            update={
                                "places": [
                                    place.model_copy(update={"sku": skus.get(place.product)})
                                    for place in example_list.places
                                ]
                            }
                        )
                        for example_list in lists
                    ]
                    for user, lists in model.examples.items()
                }
            }
        )
        for model in report.models
    ]
    return report.model_copy(update={"examples": examples, "models": models})
