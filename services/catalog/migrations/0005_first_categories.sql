-- The categories of what the shop sells from its first day.
INSERT INTO categories (category_id, slug, name) VALUES
    ('20f5257d-3e61-5809-bb24-0251dbb71071', 'tableware', 'Mugs and tableware'),
    ('97a38a74-ce83-5c72-9123-124cda5a97a6', 'coffee', 'Coffee'),
    ('656f6a49-0925-5a5c-8efc-b7ed249bb28c', 'tea', 'Tea'),
    ('b6a94490-6ea8-50c2-8785-0cabd3b63a87', 'sweets', 'Chocolate and honey'),
    ('b3b5b894-912b-500b-830c-89e811f7cf00', 'brewing', 'Coffee makers and kettles'),
    ('f0af3849-d226-5f31-b85e-7136f3d538a9', 'stationery', 'Paper and pens'),
    ('f2e43cb3-23a1-5bf9-be06-514195d1c47b', 'bags-and-bottles', 'Bags and bottles'),
    ('1d59572e-44e4-50de-8399-7c5950536f5a', 'clothing', 'Clothing'),
    ('975a1441-2c27-5eec-9c6a-1a03d30f9669', 'home', 'Home');

UPDATE products SET category_id = c.category_id
FROM categories AS c, (VALUES
    ('tableware', '^(MUG|BOWL|PLATE|TEAPOT)-'),
    ('coffee', '^COFFEE-'),
    ('tea', '^TEA-'),
    ('sweets', '^(CHOC|HONEY)-'),
    ('brewing', '^(KETTLE|GRINDER|DRIPPER|FILTER|PRESS)-'),
    ('stationery', '^(NOTEBOOK|PEN|INK)-'),
    ('bags-and-bottles', '^(TOTE|BACKPACK|BOTTLE)-'),
    ('clothing', '^(SOCKS|TSHIRT|HOODIE|BEANIE)-'),
    ('home', '^(LAMP|CANDLE|BLANKET|CLOCK|PLANT)-')
) AS m(slug, skus)
WHERE c.slug = m.slug AND products.sku ~ m.skus;

-- Their words: as the service writes them, for texts of ASCII letters.
UPDATE products SET
    updated_at = created_at,
    search = setweight(to_tsvector('english', regexp_replace(lower(name), '[^a-z0-9]+', ' ', 'g')), 'A')
          || setweight(to_tsvector('english', regexp_replace(lower(sku), '[^a-z0-9]+', ' ', 'g')), 'B')
          || setweight(to_tsvector('english', regexp_replace(lower(description), '[^a-z0-9]+', ' ', 'g')), 'C');

WITH first_words AS (
  SELECT DISTINCT sku, word
  FROM products,
       regexp_split_to_table(lower(concat_ws(' ', name, sku, description)), '[^a-z0-9]+') AS w(word)
  WHERE word <> ''
), known AS (
  INSERT INTO words (word, trigrams)
  SELECT word, ARRAY(SELECT DISTINCT substr('  ' || word || ' ', n, 3) COLLATE "C" AS trigram
                     FROM generate_series(1, length(word) + 1) AS n ORDER BY trigram)
  FROM (SELECT DISTINCT word FROM first_words) AS w
)
INSERT INTO product_words (word, sku) SELECT word, sku FROM first_words;
