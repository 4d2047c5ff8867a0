CREATE SCHEMA recommendations_db;

CREATE TABLE recommendations_db.user_preferences (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    category_preferences JSONB DEFAULT '{}',
    brand_preferences JSONB DEFAULT '{}',
    price_range JSONB,
    color_preferences JSONB DEFAULT '{}',
    size_preferences JSONB DEFAULT '{}',
    style_preferences JSONB DEFAULT '{}',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE,
    UNIQUE (user_id)
);

CREATE TABLE recommendations_db.product_recommendations (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    product_id INTEGER NOT NULL,
    score DECIMAL(5,4) NOT NULL,
    reason VARCHAR(100),
    recommendation_type VARCHAR(50),
    context JSONB DEFAULT '{}',
    expires_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    UNIQUE (user_id, product_id, recommendation_type)
);

CREATE TABLE recommendations_db.user_interactions (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE SET NULL,
    product_id INTEGER NOT NULL,
    interaction_type VARCHAR(50) NOT NULL,
    interaction_value DECIMAL(10,2),
    context JSONB DEFAULT '{}',
    session_id VARCHAR(255),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE recommendations_db.recommendation_models (
    id SERIAL PRIMARY KEY,
    name VARCHAR(100) UNIQUE NOT NULL,
    version VARCHAR(20) NOT NULL,
    type VARCHAR(50),
    algorithm VARCHAR(100),
    parameters JSONB DEFAULT '{}',
    accuracy DECIMAL(5,4),
    precision_score DECIMAL(5,4),
    recall_score DECIMAL(5,4),
    is_active BOOLEAN DEFAULT FALSE,
    training_data_size INTEGER,
    last_trained_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE recommendations_db.recommendation_feedback (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    product_id INTEGER NOT NULL,
    recommendation_id INTEGER REFERENCES recommendations_db.product_recommendations (id) ON DELETE SET NULL,
    recommended BOOLEAN DEFAULT FALSE,
    clicked BOOLEAN DEFAULT FALSE,
    purchased BOOLEAN DEFAULT FALSE,
    rating INTEGER CHECK (rating >= 1 AND rating <= 5),
    feedback_type VARCHAR(50),
    feedback_text TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

-- Indexes of our own; the reason for each stands beside it in the tables.py of the domain.

CREATE INDEX product_recommendations_expires_at_idx
    ON recommendations_db.product_recommendations (expires_at);
CREATE INDEX product_recommendations_user_id_score_idx
    ON recommendations_db.product_recommendations (user_id, score);
CREATE INDEX user_interactions_created_at_idx ON recommendations_db.user_interactions (created_at);
CREATE INDEX user_interactions_product_id_idx ON recommendations_db.user_interactions (product_id);
CREATE INDEX user_interactions_user_id_created_at_idx
    ON recommendations_db.user_interactions (user_id, created_at);
CREATE INDEX recommendation_feedback_recommendation_id_idx
    ON recommendations_db.recommendation_feedback (recommendation_id) WHERE recommendation_id IS NOT NULL;
CREATE INDEX recommendation_feedback_user_id_idx ON recommendations_db.recommendation_feedback (user_id);
