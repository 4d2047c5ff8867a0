CREATE SCHEMA users_db;

CREATE TABLE users_db.users (
    id SERIAL PRIMARY KEY,
    email VARCHAR(255) UNIQUE NOT NULL,
    username VARCHAR(100) UNIQUE NOT NULL,
    full_name VARCHAR(255) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    avatar_url VARCHAR(500),
    is_online BOOLEAN DEFAULT FALSE,
    is_active BOOLEAN DEFAULT TRUE,
    is_admin BOOLEAN DEFAULT FALSE,
    last_seen TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE users_db.user_profiles (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    bio TEXT,
    preferences JSONB DEFAULT '{}',
    settings JSONB DEFAULT '{}',
    phone VARCHAR(20),
    address TEXT,
    date_of_birth DATE,
    gender VARCHAR(10),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE users_db.user_sessions (
    id SERIAL PRIMARY KEY,
    session_id VARCHAR(255) UNIQUE NOT NULL,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    device_type VARCHAR(50),
    device_info JSONB,
    ip_address INET,
    last_activity TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE users_db.user_activities (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    activity_type VARCHAR(50) NOT NULL,
    metadata JSONB DEFAULT '{}',
    timestamp TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE users_db.user_social (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    followers INTEGER[] DEFAULT '{}',
    following INTEGER[] DEFAULT '{}',
    blocked INTEGER[] DEFAULT '{}',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

-- Indexes of our own; the reason for each stands beside it in the tables.py of the domain.

CREATE INDEX user_profiles_user_id_idx ON users_db.user_profiles (user_id);
CREATE INDEX user_sessions_user_id_idx ON users_db.user_sessions (user_id);
CREATE INDEX user_activities_user_id_timestamp_idx ON users_db.user_activities (user_id, timestamp);
CREATE INDEX user_social_user_id_idx ON users_db.user_social (user_id);
