//! Finds products by words: PostgreSQL's full text search for words and their forms, and trigrams
//! for words that are only alike.

use mesh_log::{Pool, Traced as _};
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::products::product;
use crate::domain::{
    Product, Sku,
    words::{different_words, trigrams, words},
};

/// Stands between the trigrams of a word; no word has it.
const SEPARATOR: &str = ",";

/// What is looked for, and where the page begins.
pub struct Search {
    pub words: Vec<String>,
    pub category: Option<Uuid>,
    /// Rank and SKU of the last product of the page before.
    pub after: Option<(i64, Sku)>,
}

/// Makes the product findable by its words of now.
pub async fn index(tx: &mut PgConnection, product: &Product) -> sqlx::Result<()> {
    let texts = [&product.name, product.sku.as_str(), &product.description];
    let [name, sku, description] = texts.map(|text: &str| words(text).join(" "));
    // In order, so that two writers never wait for each other in a circle.
    let all = different_words(&texts.join(" "));
    sqlx::query(
        "WITH vector AS (
           UPDATE products SET search = setweight(to_tsvector('english', $2), 'A')
                                     || setweight(to_tsvector('english', $3), 'B')
                                     || setweight(to_tsvector('english', $4), 'C')
           WHERE sku = $1
         ), gone AS (
           DELETE FROM product_words WHERE sku = $1 AND NOT word = ANY($5)
         )
         INSERT INTO words (word, trigrams)
         SELECT word, string_to_array(trigrams, $7)
         FROM unnest($5::text[], $6::text[]) AS w(word, trigrams)
         ON CONFLICT (word) DO NOTHING",
    )
    .bind(product.sku.as_str())
    .bind(name)
    .bind(sku)
    .bind(description)
    .bind(&all)
    .bind(joined(&all))
    .bind(SEPARATOR)
    .execute(&mut *tx)
    .traced("UPDATE products")
    .await?;
    sqlx::query(
        "INSERT INTO product_words (word, sku) SELECT word, $2 FROM unnest($1::text[]) AS w(word)
         ON CONFLICT DO NOTHING",
    )
    .bind(&all)
    .bind(product.sku.as_str())
    .execute(tx)
    .traced("INSERT product_words")
    .await?;
    Ok(())
}

/// Returns at most `limit` products that are sold and have all words, each with its rank: the best
/// first, equal ones by SKU.
///
/// A rank follows from product and query alone, and in whole numbers: it is the same for every page,
/// whatever else is sold meanwhile. A word that occurs, or begins one that does, counts 1000 and
/// more, by where it occurs; one that is only alike less.
pub async fn search(db: &Pool, search: &Search, limit: usize) -> sqlx::Result<Vec<(i64, Product)>> {
    let mut reading = db.read().await?;
    let found = sqlx::query(
        "WITH wanted AS MATERIALIZED (
           SELECT n, string_to_array(trigrams, $3) AS trigrams,
                  to_tsquery('english', word || ':*') AS form
           FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS a(word, trigrams, n)
           WHERE to_tsvector('english', word) <> ''
         ), hits AS (
           SELECT w.n, p.sku, 1000 + round(1000 * ts_rank(p.search, w.form))::bigint AS score
           FROM wanted AS w JOIN products AS p ON p.search @@ w.form
           UNION ALL
           SELECT alike.n, pw.sku, alike.score
           FROM (
             SELECT w.n, v.word, 1000 * s.shared
                    / (cardinality(v.trigrams) + cardinality(w.trigrams) - s.shared) AS score
             FROM wanted AS w
             JOIN words AS v ON v.trigrams && w.trigrams
             CROSS JOIN LATERAL (
               SELECT count(*) AS shared FROM unnest(v.trigrams) AS t WHERE t = ANY(w.trigrams)
             ) AS s
           ) AS alike
           JOIN product_words AS pw ON pw.word = alike.word
           WHERE alike.score >= 400
         ), best AS (
           SELECT sku, n, max(score) AS score FROM hits GROUP BY sku, n
         ), ranked AS (
           SELECT sku, sum(score)::bigint AS rank FROM best GROUP BY sku
           HAVING count(*) = (SELECT count(*) FROM wanted)
         )
         SELECT p.sku, p.product_id, p.name, p.description, p.currency, p.price_minor,
                p.category_id, p.state, p.version, p.created_at, p.updated_at, r.rank
         FROM ranked AS r JOIN products AS p ON p.sku = r.sku
         WHERE p.state = 'ACTIVE' AND ($4::uuid IS NULL OR p.category_id = $4)
           AND ($5::bigint IS NULL OR r.rank < $5 OR (r.rank = $5 AND p.sku > $6))
         ORDER BY r.rank DESC, p.sku LIMIT $7",
    )
    .bind(&search.words)
    .bind(joined(&search.words))
    .bind(SEPARATOR)
    .bind(search.category)
    .bind(search.after.as_ref().map(|(rank, _)| *rank))
    .bind(search.after.as_ref().map(|(_, sku)| sku.as_str()))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(&mut *reading)
    .traced("SELECT products")
    .await?;
    found.iter().map(|row| Ok((row.try_get("rank")?, product(row)?))).collect()
}

/// The trigrams of each word, in one text.
fn joined(words: &[String]) -> Vec<String> {
    words.iter().map(|word| trigrams(word).join(SEPARATOR)).collect()
}
