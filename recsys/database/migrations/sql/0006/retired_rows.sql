-- Rows of recommendations that left their user's lists, and the feedback that was of them.

CREATE TABLE recommendations_db.retired_recommendations (
    user_id INTEGER NOT NULL REFERENCES users_db.users(id) ON DELETE CASCADE,
    product_id INTEGER NOT NULL,
    id INTEGER NOT NULL UNIQUE,
    generation_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, product_id)
);

CREATE TABLE recommendations_db.feedback_of_retired (
    feedback_id INTEGER PRIMARY KEY
        REFERENCES recommendations_db.recommendation_feedback(id) ON DELETE CASCADE,
    recommendation_id INTEGER NOT NULL
);

-- a recommendation that comes back takes its feedback with it
CREATE INDEX feedback_of_retired_recommendation_id_idx
    ON recommendations_db.feedback_of_retired (recommendation_id);
