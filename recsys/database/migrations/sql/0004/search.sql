-- Search: similar words, distances, and the documents that are searched.

DO $$
DECLARE
    needed text;
BEGIN
    FOREACH needed IN ARRAY ARRAY['pg_trgm', 'cube', 'earthdistance'] LOOP
        IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = needed) THEN
            EXECUTE 'CREATE EXTENSION ' || quote_ident(needed) || ' WITH SCHEMA public';
            -- the downgrade drops what was made here, and nothing that was there before
            EXECUTE 'COMMENT ON EXTENSION ' || quote_ident(needed) || ' IS ''made by recsys''';
        END IF;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE insufficient_privilege USING
        MESSAGE = 'the extension ' || needed || ' is missing and this account may not make it',
        HINT = 'ask an administrator of the server for: CREATE EXTENSION ' || needed;
END
$$;

CREATE TABLE products_db.product_search (
    product_id INTEGER NOT NULL PRIMARY KEY REFERENCES products_db.products (id) ON DELETE CASCADE,
    name VARCHAR(255) NOT NULL,
    price NUMERIC(10, 2) NOT NULL,
    category_id INTEGER,
    category_name VARCHAR(100),
    brand_id INTEGER,
    brand_name VARCHAR(100),
    tags TEXT[] NOT NULL,
    status VARCHAR(20),
    is_featured BOOLEAN NOT NULL,
    rating_average NUMERIC(3, 2),
    review_count INTEGER NOT NULL,
    inventory_quantity BIGINT,
    popularity REAL NOT NULL DEFAULT 0,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    words TSVECTOR NOT NULL,
    name_words TSVECTOR NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE INDEX product_search_words_idx ON products_db.product_search USING gin (words);
CREATE INDEX product_search_name_words_idx ON products_db.product_search USING gin (name_words);
CREATE INDEX product_search_tags_idx ON products_db.product_search USING gin (tags);
CREATE INDEX product_search_category_id_idx ON products_db.product_search (category_id);
CREATE INDEX product_search_brand_id_idx ON products_db.product_search (brand_id);

CREATE TABLE products_db.search_words (
    word TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    stem TEXT NOT NULL,
    documents INTEGER NOT NULL
);

CREATE INDEX search_words_stem_idx ON products_db.search_words (stem);
CREATE INDEX search_words_similar_idx ON products_db.search_words USING gin (word gin_trgm_ops);

CREATE TABLE users_db.user_search (
    user_id INTEGER NOT NULL PRIMARY KEY REFERENCES users_db.users (id) ON DELETE CASCADE,
    username VARCHAR(100) NOT NULL,
    full_name VARCHAR(255) NOT NULL,
    bio TEXT,
    latitude DOUBLE PRECISION,
    longitude DOUBLE PRECISION,
    is_active BOOLEAN NOT NULL,
    is_online BOOLEAN NOT NULL,
    followers_count INTEGER NOT NULL,
    following_count INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    words TSVECTOR NOT NULL,
    names TEXT NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE INDEX user_search_words_idx ON users_db.user_search USING gin (words);
CREATE INDEX user_search_names_idx ON users_db.user_search USING gin (names gin_trgm_ops);
CREATE INDEX user_search_place_idx ON users_db.user_search USING gist (ll_to_earth(latitude, longitude));

-- What was searched for and opened, counted by day: for reports, without whose it was.

CREATE TABLE analytics_db.search_counts (
    day DATE NOT NULL,
    query VARCHAR(200) NOT NULL,
    searches INTEGER NOT NULL,
    empty INTEGER NOT NULL,
    PRIMARY KEY (day, query)
);

CREATE TABLE analytics_db.search_clicks (
    day DATE NOT NULL,
    position INTEGER NOT NULL,
    clicks INTEGER NOT NULL,
    PRIMARY KEY (day, position)
);
