-- Each user finds a review helpful once.

CREATE TABLE products_db.review_votes (
    review_id INTEGER NOT NULL REFERENCES products_db.product_reviews (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users_db.users (id) ON DELETE CASCADE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    PRIMARY KEY (review_id, user_id)
);

CREATE INDEX review_votes_user_id_idx ON products_db.review_votes (user_id);

-- A guest's views, which belong to the user at log-in.

CREATE INDEX product_view_history_session_id_idx
    ON products_db.product_view_history (session_id) WHERE user_id IS NULL;
