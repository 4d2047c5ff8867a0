-- A request sent twice pays or refunds once.

CREATE TABLE payments_db.payment_keys (
    owner VARCHAR(300) NOT NULL,
    key VARCHAR(100) NOT NULL,
    fingerprint VARCHAR(64) NOT NULL,
    payment_id INTEGER REFERENCES payments_db.payments (id) ON DELETE CASCADE,
    refund_id INTEGER REFERENCES payments_db.refunds (id) ON DELETE CASCADE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    PRIMARY KEY (owner, key)
);

CREATE INDEX payment_keys_payment_id_idx ON payments_db.payment_keys (payment_id);
CREATE INDEX payment_keys_refund_id_idx ON payments_db.payment_keys (refund_id) WHERE refund_id IS NOT NULL;

-- What a payment is made with, so that it can be finished after a crash.

CREATE TABLE payments_db.payment_tokens (
    payment_id INTEGER PRIMARY KEY REFERENCES payments_db.payments (id) ON DELETE CASCADE,
    token VARCHAR(255) NOT NULL,
    capture BOOLEAN NOT NULL
);

-- A webhook is taken in once.

CREATE TABLE payments_db.webhook_events (
    gateway VARCHAR(50) NOT NULL,
    event_id VARCHAR(255) NOT NULL,
    kind VARCHAR(100) NOT NULL,
    outcome VARCHAR(20) NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    PRIMARY KEY (gateway, event_id)
);
