-- A request sent twice, and a cart, are ordered once.

CREATE TABLE orders_db.checkouts (
    owner VARCHAR(300) NOT NULL,
    key VARCHAR(100) NOT NULL,
    fingerprint VARCHAR(64) NOT NULL,
    cart_id VARCHAR(32) UNIQUE,
    order_id INTEGER REFERENCES orders_db.orders (id) ON DELETE SET NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    PRIMARY KEY (owner, key)
);

CREATE INDEX checkouts_order_id_idx ON orders_db.checkouts (order_id);
