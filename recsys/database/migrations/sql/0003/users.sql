-- Indexes of our own; the reason for each stands beside it in the tables.py of the domain.

CREATE INDEX users_lower_email_idx ON users_db.users (lower(email));
CREATE INDEX users_lower_username_idx ON users_db.users (lower(username));
CREATE INDEX users_last_seen_idx ON users_db.users (last_seen) WHERE is_online;
