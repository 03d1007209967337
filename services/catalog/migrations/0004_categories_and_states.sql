-- Where customers find products. `digest` is that of the request that made the category, whose
-- request_id is its id; none in those that the shop opened with.
CREATE TABLE categories (
    category_id uuid        PRIMARY KEY,
    slug        text        COLLATE "C" NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9-]{1,60}$'),
    name        text        NOT NULL,
    version     int         NOT NULL DEFAULT 1,
    digest      bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- `digest` is that of the request that made the product, whose request_id is its id; none in those
-- that the shop opened with. `search` holds the words of name (A), SKU (B) and description (C).
ALTER TABLE products
    ADD COLUMN category_id uuid        REFERENCES categories,
    ADD COLUMN state       text        NOT NULL DEFAULT 'ACTIVE' CHECK (state IN ('ACTIVE', 'ARCHIVED')),
    ADD COLUMN version     int         NOT NULL DEFAULT 1,
    ADD COLUMN digest      bytea,
    ADD COLUMN updated_at  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN search      tsvector    NOT NULL DEFAULT '';
CREATE INDEX products_category ON products (category_id, sku);
CREATE INDEX products_state ON products (state, sku);
CREATE INDEX products_search ON products USING gin (search);

-- What things were before they were changed: the first outcome of a request is answered from here.
CREATE TABLE former_categories (
    category_id uuid        NOT NULL,
    version     int         NOT NULL,
    name        text        NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (category_id, version)
);
CREATE TABLE former_products (
    product_id  uuid        NOT NULL,
    version     int         NOT NULL,
    name        text        NOT NULL,
    description text        NOT NULL,
    currency    text        NOT NULL,
    price_minor bigint      NOT NULL,
    category_id uuid,
    state       text        NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (product_id, version)
);

-- Every word of every product with its trigrams, so that a misspelt word finds those like it.
CREATE TABLE words (
    word     text   COLLATE "C" PRIMARY KEY,
    trigrams text[] NOT NULL
);
CREATE INDEX words_trigrams ON words USING gin (trigrams);
CREATE TABLE product_words (
    word text COLLATE "C" REFERENCES words,
    sku  text COLLATE "C" REFERENCES products ON DELETE CASCADE,
    PRIMARY KEY (word, sku)
);
CREATE INDEX product_words_sku ON product_words (sku);
