CREATE SCHEMA products_db;

CREATE TABLE products_db.categories (
    id SERIAL PRIMARY KEY,
    name VARCHAR(100) UNIQUE NOT NULL,
    slug VARCHAR(100) UNIQUE NOT NULL,
    parent_id INTEGER REFERENCES products_db.categories (id),
    description TEXT,
    image_url VARCHAR(500),
    is_active BOOLEAN DEFAULT TRUE,
    sort_order INTEGER DEFAULT 0,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE products_db.brands (
    id SERIAL PRIMARY KEY,
    name VARCHAR(100) UNIQUE NOT NULL,
    slug VARCHAR(100) UNIQUE NOT NULL,
    logo_url VARCHAR(500),
    description TEXT,
    website_url VARCHAR(500),
    is_active BOOLEAN DEFAULT TRUE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE products_db.products (
    id SERIAL PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    slug VARCHAR(255) UNIQUE NOT NULL,
    description TEXT,
    short_description TEXT,
    sku VARCHAR(100) UNIQUE,
    price DECIMAL(10,2) NOT NULL,
    compare_price DECIMAL(10,2),
    cost_price DECIMAL(10,2),
    track_inventory BOOLEAN DEFAULT TRUE,
    weight DECIMAL(8,2),
    dimensions JSONB,
    category_id INTEGER REFERENCES products_db.categories (id),
    brand_id INTEGER REFERENCES products_db.brands (id),
    tags TEXT[],
    status VARCHAR(20) DEFAULT 'active',
    seo_title VARCHAR(255),
    seo_description TEXT,
    is_featured BOOLEAN DEFAULT FALSE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE products_db.product_variants (
    id SERIAL PRIMARY KEY,
    product_id INTEGER REFERENCES products_db.products (id) ON DELETE CASCADE,
    sku VARCHAR(100) UNIQUE,
    name VARCHAR(255),
    price DECIMAL(10,2),
    compare_price DECIMAL(10,2),
    cost_price DECIMAL(10,2),
    weight DECIMAL(8,2),
    barcode VARCHAR(100),
    inventory_quantity INTEGER DEFAULT 0,
    inventory_policy VARCHAR(20) DEFAULT 'deny',
    inventory_tracking BOOLEAN DEFAULT TRUE,
    requires_shipping BOOLEAN DEFAULT TRUE,
    taxable BOOLEAN DEFAULT TRUE,
    position INTEGER DEFAULT 0,
    option1 VARCHAR(100),
    option2 VARCHAR(100),
    option3 VARCHAR(100),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE products_db.product_images (
    id SERIAL PRIMARY KEY,
    product_id INTEGER REFERENCES products_db.products (id) ON DELETE CASCADE,
    variant_id INTEGER REFERENCES products_db.product_variants (id) ON DELETE CASCADE,
    src VARCHAR(500) NOT NULL,
    alt TEXT,
    position INTEGER DEFAULT 0,
    is_primary BOOLEAN DEFAULT FALSE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE products_db.product_reviews (
    id SERIAL PRIMARY KEY,
    product_id INTEGER REFERENCES products_db.products (id) ON DELETE CASCADE,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE SET NULL,
    variant_id INTEGER REFERENCES products_db.product_variants (id) ON DELETE SET NULL,
    rating INTEGER CHECK (rating >= 1 AND rating <= 5),
    title VARCHAR(255),
    review TEXT,
    is_verified_purchase BOOLEAN DEFAULT FALSE,
    is_approved BOOLEAN DEFAULT FALSE,
    helpful_count INTEGER DEFAULT 0,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE
);

CREATE TABLE products_db.product_view_history (
    id SERIAL PRIMARY KEY,
    product_id INTEGER REFERENCES products_db.products (id) ON DELETE CASCADE,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE SET NULL,
    session_id VARCHAR(255),
    ip_address INET,
    user_agent TEXT,
    viewed_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE products_db.inventory_logs (
    id SERIAL PRIMARY KEY,
    product_id INTEGER REFERENCES products_db.products (id) ON DELETE CASCADE,
    variant_id INTEGER REFERENCES products_db.product_variants (id) ON DELETE CASCADE,
    old_quantity INTEGER,
    new_quantity INTEGER,
    adjustment INTEGER,
    reason VARCHAR(100),
    notes TEXT,
    user_id INTEGER REFERENCES users_db.users (id) ON DELETE SET NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

-- Indexes of our own; the reason for each stands beside it in the tables.py of the domain.

CREATE INDEX categories_parent_id_idx ON products_db.categories (parent_id);
CREATE INDEX products_brand_id_idx ON products_db.products (brand_id);
CREATE INDEX products_category_id_idx ON products_db.products (category_id);
CREATE INDEX product_variants_product_id_idx ON products_db.product_variants (product_id);
CREATE INDEX product_images_product_id_idx ON products_db.product_images (product_id);
CREATE INDEX product_images_variant_id_idx
    ON products_db.product_images (variant_id) WHERE variant_id IS NOT NULL;
CREATE INDEX product_reviews_product_id_idx ON products_db.product_reviews (product_id);
CREATE INDEX product_reviews_user_id_idx ON products_db.product_reviews (user_id);
CREATE INDEX product_reviews_variant_id_idx
    ON products_db.product_reviews (variant_id) WHERE variant_id IS NOT NULL;
CREATE INDEX product_view_history_product_id_idx ON products_db.product_view_history (product_id);
CREATE INDEX product_view_history_user_id_viewed_at_idx
    ON products_db.product_view_history (user_id, viewed_at) WHERE user_id IS NOT NULL;
CREATE INDEX inventory_logs_product_id_idx ON products_db.inventory_logs (product_id);
CREATE INDEX inventory_logs_user_id_idx ON products_db.inventory_logs (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX inventory_logs_variant_id_idx ON products_db.inventory_logs (variant_id);
