-- Stored lists of another format: nobody can read them; answers are made live until the next scoring.

DELETE FROM recommendations_db.stored_lists;
UPDATE recommendations_db.recommendation_generations SET status = 'retired' WHERE status IN ('live', 'former');
