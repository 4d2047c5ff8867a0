CREATE SCHEMA orders_db;

CREATE TABLE orders_db.orders (
    id SERIAL PRIMARY KEY,
    order_number VARCHAR(50) UNIQUE NOT NULL,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE SET NULL,
    email VARCHAR(255),
    status VARCHAR(20) DEFAULT 'pending',
    financial_status VARCHAR(20) DEFAULT 'pending',
    fulfillment_status VARCHAR(20) DEFAULT 'unfulfilled',
    currency VARCHAR(3) DEFAULT 'USD',
    subtotal_price DECIMAL(10,2) NOT NULL,
    total_price DECIMAL(10,2) NOT NULL,
    total_tax DECIMAL(10,2) DEFAULT 0,
    total_shipping DECIMAL(10,2) DEFAULT 0,
    total_discount DECIMAL(10,2) DEFAULT 0,
    notes TEXT,
    internal_notes TEXT,
    processed_at TIMESTAMP WITH TIME ZONE,
    cancelled_at TIMESTAMP WITH TIME ZONE,
    cancel_reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE orders_db.order_items (
    id SERIAL PRIMARY KEY,
    order_id INTEGER REFERENCES orders_db.orders (id) ON DELETE CASCADE,
    product_id INTEGER REFERENCES products_db.products (id) ON DELETE SET NULL,
    variant_id INTEGER REFERENCES products_db.product_variants (id) ON DELETE SET NULL,
    sku VARCHAR(100),
    name VARCHAR(255) NOT NULL,
    title VARCHAR(255),
    quantity INTEGER NOT NULL,
    price DECIMAL(10,2) NOT NULL,
    total_discount DECIMAL(10,2) DEFAULT 0,
    taxable BOOLEAN DEFAULT TRUE,
    requires_shipping BOOLEAN DEFAULT TRUE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE orders_db.order_status_history (
    id SERIAL PRIMARY KEY,
    order_id INTEGER REFERENCES orders_db.orders (id) ON DELETE CASCADE,
    status VARCHAR(20) NOT NULL,
    notify_customer BOOLEAN DEFAULT FALSE,
    notes TEXT,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE SET NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE orders_db.shipping_addresses (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE CASCADE,
    order_id INTEGER REFERENCES orders_db.orders (id) ON DELETE CASCADE,
    first_name VARCHAR(100) NOT NULL,
    last_name VARCHAR(100) NOT NULL,
    company VARCHAR(100),
    address1 VARCHAR(255) NOT NULL,
    address2 VARCHAR(255),
    city VARCHAR(100) NOT NULL,
    province VARCHAR(100),
    country VARCHAR(2) NOT NULL,
    zip VARCHAR(20) NOT NULL,
    phone VARCHAR(20),
    is_default BOOLEAN DEFAULT FALSE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE orders_db.order_tracking (
    id SERIAL PRIMARY KEY,
    order_id INTEGER REFERENCES orders_db.orders (id) ON DELETE CASCADE,
    tracking_number VARCHAR(100),
    tracking_url VARCHAR(500),
    carrier VARCHAR(100),
    current_location TEXT,
    estimated_delivery TIMESTAMP WITH TIME ZONE,
    delivered_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE orders_db.abandoned_carts (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE SET NULL,
    session_id VARCHAR(255),
    email VARCHAR(255),
    items JSONB NOT NULL,
    total_price DECIMAL(10,2),
    abandoned_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    recovered_at TIMESTAMP WITH TIME ZONE,
    recovery_email_sent BOOLEAN DEFAULT FALSE
);

-- Indexes of our own; the reason for each stands beside it in the tables.py of the domain.

CREATE INDEX orders_user_id_created_at_idx ON orders_db.orders (user_id, created_at);
CREATE INDEX order_items_order_id_idx ON orders_db.order_items (order_id);
CREATE INDEX order_items_product_id_idx ON orders_db.order_items (product_id);
CREATE INDEX order_items_variant_id_idx ON orders_db.order_items (variant_id) WHERE variant_id IS NOT NULL;
CREATE INDEX order_status_history_order_id_idx ON orders_db.order_status_history (order_id);
CREATE INDEX order_status_history_user_id_idx
    ON orders_db.order_status_history (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX shipping_addresses_order_id_idx ON orders_db.shipping_addresses (order_id);
CREATE INDEX shipping_addresses_user_id_idx ON orders_db.shipping_addresses (user_id);
CREATE INDEX order_tracking_order_id_idx ON orders_db.order_tracking (order_id);
CREATE INDEX abandoned_carts_user_id_idx ON orders_db.abandoned_carts (user_id) WHERE user_id IS NOT NULL;
