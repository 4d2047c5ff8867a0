-- Before this revision a generation was shown or gone.

DROP INDEX recommendations_db.recommendation_generations_one_former_idx;
UPDATE recommendations_db.recommendation_generations SET status = 'retired' WHERE status = 'former';
ALTER TABLE recommendations_db.recommendation_generations
    DROP CONSTRAINT recommendation_generations_status_check,
    ADD CONSTRAINT recommendation_generations_status_check
        CHECK (status IN ('writing', 'live', 'retired', 'failed')),
    DROP COLUMN expires_at,
    DROP COLUMN rows_written;
ALTER TABLE recommendations_db.product_recommendations RESET (fillfactor);
CREATE INDEX product_recommendations_expires_at_idx
    ON recommendations_db.product_recommendations (expires_at);
CREATE INDEX product_recommendations_user_id_score_idx
    ON recommendations_db.product_recommendations (user_id, score);
