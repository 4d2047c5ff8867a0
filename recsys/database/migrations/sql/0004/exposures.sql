-- What was answered to whom, and which feedback is of which answer.

CREATE TABLE recommendations_db.exposures (
    request_id VARCHAR(64) NOT NULL,
    shelf VARCHAR(50) NOT NULL,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    session_id VARCHAR(255),
    model VARCHAR(100),
    version VARCHAR(20),
    generation INTEGER,
    source VARCHAR(20) NOT NULL,
    arm VARCHAR(100),
    product_ids INTEGER[] NOT NULL,
    scores REAL[] NOT NULL,
    shown_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (request_id, shelf)
);

CREATE INDEX exposures_user_id_shown_at_idx ON recommendations_db.exposures (user_id, shown_at);
CREATE INDEX exposures_shown_at_idx ON recommendations_db.exposures (shown_at);

CREATE TABLE recommendations_db.feedback_exposures (
    feedback_id INTEGER NOT NULL PRIMARY KEY
        REFERENCES recommendations_db.recommendation_feedback (id) ON DELETE CASCADE,
    request_id VARCHAR(64) NOT NULL,
    shelf VARCHAR(50) NOT NULL,
    position INTEGER NOT NULL,
    session_id VARCHAR(255),
    model VARCHAR(100),
    version VARCHAR(20),
    generation INTEGER,
    source VARCHAR(20) NOT NULL,
    arm VARCHAR(100)
);

CREATE INDEX feedback_exposures_session_id_idx
    ON recommendations_db.feedback_exposures (session_id) WHERE session_id IS NOT NULL;
