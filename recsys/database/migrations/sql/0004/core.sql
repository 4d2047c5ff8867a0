-- which guest became whose is forgotten after its days: those are found without reading all of it
CREATE INDEX guest_logins_logged_in_at_idx ON recommendations_db.guest_logins (logged_in_at);
