-- A page view or event sent twice is stored once.

CREATE TABLE analytics_db.collected_events (
    event_id UUID PRIMARY KEY,
    page_view_id INTEGER UNIQUE REFERENCES analytics_db.page_views (id) ON DELETE CASCADE,
    user_event_id INTEGER UNIQUE REFERENCES analytics_db.user_events (id) ON DELETE CASCADE,
    CONSTRAINT collected_events_row_check CHECK (num_nonnulls(page_view_id, user_event_id) = 1)
);

-- Bots are counted and nothing else is kept of them.

CREATE TABLE analytics_db.bot_hits (
    date DATE NOT NULL,
    bot VARCHAR(100) NOT NULL,
    hits INTEGER NOT NULL,
    PRIMARY KEY (date, bot)
);

-- Indexes of our own; the reason for each stands beside it in the tables.py of the domain.

CREATE INDEX page_views_session_id_timestamp_idx ON analytics_db.page_views (session_id, timestamp);
CREATE INDEX page_views_timestamp_idx ON analytics_db.page_views (timestamp);
CREATE INDEX user_events_session_id_timestamp_idx ON analytics_db.user_events (session_id, timestamp);
CREATE INDEX user_events_timestamp_idx ON analytics_db.user_events (timestamp);
CREATE INDEX user_sessions_visitor_idx ON analytics_db.user_sessions (split_part(session_id, ' ', 1));
CREATE INDEX user_sessions_start_time_idx ON analytics_db.user_sessions (start_time);
CREATE INDEX product_metrics_date_product_id_idx ON analytics_db.product_metrics (date, product_id);
