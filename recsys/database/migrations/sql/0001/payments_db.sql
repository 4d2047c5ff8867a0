CREATE SCHEMA payments_db;

CREATE TABLE payments_db.payment_methods (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    type VARCHAR(50) NOT NULL,
    provider VARCHAR(50) NOT NULL,
    gateway_id VARCHAR(255),
    last4 VARCHAR(4),
    expiry_month INTEGER,
    expiry_year INTEGER,
    brand VARCHAR(50),
    is_default BOOLEAN DEFAULT FALSE,
    billing_address JSONB,
    metadata JSONB,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE payments_db.payments (
    id SERIAL PRIMARY KEY,
    order_id INTEGER REFERENCES orders_db.orders (id) ON DELETE CASCADE,
    payment_method_id INTEGER REFERENCES payments_db.payment_methods (id) ON DELETE SET NULL,
    amount DECIMAL(10,2) NOT NULL,
    currency VARCHAR(3) DEFAULT 'USD',
    status VARCHAR(20) DEFAULT 'pending',
    gateway VARCHAR(50) NOT NULL,
    gateway_transaction_id VARCHAR(255),
    gateway_response JSONB,
    failure_reason TEXT,
    processed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE payments_db.refunds (
    id SERIAL PRIMARY KEY,
    payment_id INTEGER REFERENCES payments_db.payments (id) ON DELETE CASCADE,
    amount DECIMAL(10,2) NOT NULL,
    currency VARCHAR(3) DEFAULT 'USD',
    status VARCHAR(20) DEFAULT 'pending',
    reason TEXT,
    gateway_refund_id VARCHAR(255),
    gateway_response JSONB,
    processed_by INTEGER REFERENCES users_db.users (id) ON DELETE SET NULL,
    processed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE payments_db.payment_attempts (
    id SERIAL PRIMARY KEY,
    payment_id INTEGER REFERENCES payments_db.payments (id) ON DELETE CASCADE,
    attempt_number INTEGER NOT NULL,
    status VARCHAR(20) NOT NULL,
    gateway_response JSONB,
    failure_reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE payments_db.fraud_flags (
    id SERIAL PRIMARY KEY,
    payment_id INTEGER REFERENCES payments_db.payments (id) ON DELETE CASCADE,
    risk_score DECIMAL(3,2),
    flags JSONB,
    is_resolved BOOLEAN DEFAULT FALSE,
    resolved_by INTEGER REFERENCES users_db.users (id) ON DELETE SET NULL,
    resolution_notes TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    resolved_at TIMESTAMP WITH TIME ZONE
);

-- Indexes of our own; the reason for each stands beside it in the tables.py of the domain.

CREATE INDEX payment_methods_user_id_idx ON payments_db.payment_methods (user_id);
CREATE INDEX payments_order_id_idx ON payments_db.payments (order_id);
CREATE INDEX payments_payment_method_id_idx ON payments_db.payments (payment_method_id);
CREATE INDEX refunds_payment_id_idx ON payments_db.refunds (payment_id);
CREATE INDEX refunds_processed_by_idx ON payments_db.refunds (processed_by) WHERE processed_by IS NOT NULL;
CREATE INDEX payment_attempts_payment_id_idx ON payments_db.payment_attempts (payment_id);
CREATE INDEX fraud_flags_payment_id_idx ON payments_db.fraud_flags (payment_id);
CREATE INDEX fraud_flags_resolved_by_idx
    ON payments_db.fraud_flags (resolved_by) WHERE resolved_by IS NOT NULL;
