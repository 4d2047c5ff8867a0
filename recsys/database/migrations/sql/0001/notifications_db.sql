CREATE SCHEMA notifications_db;

CREATE TABLE notifications_db.notifications (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    type VARCHAR(50) NOT NULL,
    title VARCHAR(255) NOT NULL,
    message TEXT NOT NULL,
    data JSONB DEFAULT '{}',
    is_read BOOLEAN DEFAULT FALSE,
    read_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE notifications_db.notification_templates (
    id SERIAL PRIMARY KEY,
    name VARCHAR(100) UNIQUE NOT NULL,
    type VARCHAR(50) NOT NULL,
    subject VARCHAR(255),
    body_html TEXT,
    body_text TEXT,
    variables JSONB DEFAULT '{}',
    is_active BOOLEAN DEFAULT TRUE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE notifications_db.notification_preferences (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    email_enabled BOOLEAN DEFAULT TRUE,
    sms_enabled BOOLEAN DEFAULT FALSE,
    push_enabled BOOLEAN DEFAULT TRUE,
    in_app_enabled BOOLEAN DEFAULT TRUE,
    preferences JSONB DEFAULT '{}',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE notifications_db.email_logs (
    id SERIAL PRIMARY KEY,
    to_email VARCHAR(255) NOT NULL,
    cc_email VARCHAR(255)[],
    bcc_email VARCHAR(255)[],
    subject VARCHAR(255) NOT NULL,
    template_id INTEGER REFERENCES notifications_db.notification_templates (id) ON DELETE SET NULL,
    status VARCHAR(20) NOT NULL,
    error_message TEXT,
    sent_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE notifications_db.sms_logs (
    id SERIAL PRIMARY KEY,
    phone_number VARCHAR(20) NOT NULL,
    message TEXT NOT NULL,
    template_id INTEGER REFERENCES notifications_db.notification_templates (id) ON DELETE SET NULL,
    status VARCHAR(20) NOT NULL,
    error_message TEXT,
    sent_at TIMESTAMP WITH TIME ZONE,
    delivered_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

-- Indexes of our own; the reason for each stands beside it in the tables.py of the domain.

CREATE INDEX notifications_user_id_created_at_idx ON notifications_db.notifications (user_id, created_at);
CREATE INDEX notification_preferences_user_id_idx ON notifications_db.notification_preferences (user_id);
CREATE INDEX email_logs_template_id_idx
    ON notifications_db.email_logs (template_id) WHERE template_id IS NOT NULL;
CREATE INDEX sms_logs_template_id_idx
    ON notifications_db.sms_logs (template_id) WHERE template_id IS NOT NULL;
