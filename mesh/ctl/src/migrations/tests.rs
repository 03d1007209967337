use super::*;

/// What a service had when it was published.
const OLD: &str = "\
CREATE TABLE orders (
    order_id uuid PRIMARY KEY,
    state    text NOT NULL DEFAULT 'NEW' CHECK (state IN ('NEW', 'DONE')),
    note     varchar(20),
    count    int NOT NULL,
    price    numeric(10, 2)
) WITH (fillfactor = 80);
CREATE INDEX orders_state ON orders (state);
CREATE VIEW audit_orders AS SELECT order_id, state FROM orders;
";

fn migration(number: u64, text: &str) -> Migration {
    let file = format!("services/orders/migrations/{number:04}_x.sql");
    Migration { service: "orders".to_owned(), number, file, text: text.to_owned() }
}

fn published(versions: &[(&str, u64)]) -> Releases {
    let one = |(version, newest): &(&str, u64)| {
        format!(
            "[[releases]]\nversion = \"{version}\"\ncommit = \"c0ffee\"\nmigrations = {{ orders = {newest} }}\n"
        )
    };
    Releases::parse(&versions.iter().map(one).collect::<String>()).unwrap()
}

/// What is found in migrations that come after the one of `v1`.
fn found(texts: &[&str]) -> Vec<String> {
    let numbers = 2..;
    let new = numbers.zip(texts).map(|(number, text)| migration(number, text));
    let all: Vec<_> = [migration(1, OLD)].into_iter().chain(new).collect();
    let report = lint(&all, &published(&[("v1", 1)]));
    assert_eq!((report.migrations, report.unpublished), (1 + texts.len(), texts.len()));
    report.findings.into_iter().map(|it| format!("{}: {}", it.place, it.what)).collect()
}

/// Statements that the release before would not survive, and what is said of them.
const LOST: [(&str, &str); 28] = [
    ("DROP TABLE orders", "drops the table `orders`"),
    ("DROP TABLE IF EXISTS public.orders CASCADE", "drops the table `orders`"),
    ("DROP VIEW audit_orders", "drops the view `audit_orders`"),
    ("DROP INDEX CONCURRENTLY orders_state", "drops the index `orders_state`"),
    ("ALTER TABLE orders DROP COLUMN note", "drops the column `note` of `orders`"),
    ("alter table only orders drop \"note\"", "drops the column `note` of `orders`"),
    (
        "ALTER TABLE orders DROP CONSTRAINT orders_pkey",
        "drops the constraint `orders_pkey` of `orders`",
    ),
    ("ALTER TABLE orders RENAME TO purchases", "renames `orders`"),
    ("ALTER TABLE orders RENAME note TO remark", "renames `note` of `orders`"),
    ("ALTER TABLE orders RENAME COLUMN note TO remark", "renames `note` of `orders`"),
    ("ALTER TABLE orders ALTER note SET NOT NULL", "makes `note` of `orders` NOT NULL"),
    (
        "ALTER TABLE orders ALTER COLUMN state DROP DEFAULT",
        "drops the DEFAULT of `state` of `orders`",
    ),
    (
        "ALTER TABLE orders ALTER note TYPE varchar(10) USING left(note, 10)",
        "changes `note` of `orders` from varchar(20) to varchar(10)",
    ),
    (
        "ALTER TABLE orders ALTER count SET DATA TYPE bigint",
        "changes `count` of `orders` from int to bigint",
    ),
    (
        "ALTER TABLE orders ALTER price TYPE numeric(10, 4)",
        "changes `price` of `orders` from numeric(10,2) to numeric(10,4)",
    ),
    (
        "ALTER TABLE orders ADD COLUMN place text NOT NULL",
        "adds to `orders` the column `place`, NOT NULL and without a DEFAULT",
    ),
    (
        "ALTER TABLE orders ADD place uuid PRIMARY KEY",
        "adds to `orders` the column `place`, NOT NULL and without a DEFAULT",
    ),
    (
        "ALTER TABLE orders ADD CHECK (count > 0) NOT VALID",
        "refuses by a CHECK what could be written to `orders`",
    ),
    (
        "ALTER TABLE orders ADD CONSTRAINT once UNIQUE (state, note)",
        "refuses by a UNIQUE what could be written to `orders`",
    ),
    (
        "CREATE UNIQUE INDEX once ON orders (note)",
        "refuses by a UNIQUE what could be written to `orders`",
    ),
    ("TRUNCATE orders", "deletes rows of `orders`"),
    ("DELETE FROM orders WHERE state = 'NEW'", "deletes rows of `orders`"),
    ("UPDATE orders SET state = 'OPEN'", "changes what `state` of `orders` says"),
    ("DO $$ BEGIN DROP TABLE orders; END $$", UNKNOWN[0]),
    ("CREATE TRIGGER t BEFORE INSERT ON orders EXECUTE FUNCTION f()", UNKNOWN[1]),
    ("ALTER TABLE orders SET SCHEMA other", UNKNOWN[2]),
    ("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", UNKNOWN[3]),
    ("ALTER TYPE mood RENAME VALUE 'a' TO 'b'", UNKNOWN[4]),
];

#[test]
fn what_takes_away_or_narrows_is_refused_with_its_line() {
    for (statement, what) in LOST {
        let text = format!("-- A comment; DROP TABLE orders;\n\nSELECT 1;\n{statement};\n");
        let place = "services/orders/migrations/0002_x.sql:4";
        let expected = format!("{place}: {what}, and the release v1 would not survive it");
        assert_eq!(found(&[&text]), [expected], "{statement}");
    }
}

const UNKNOWN: [&str; 5] = [
    "says `do $$ BEGIN DROP TABLE orders; END $$ …`, of which no rule knows what it takes away",
    "says `create trigger t before …`, of which no rule knows what it takes away",
    "says `set schema other …`, of which no rule knows what it takes away",
    "says `enable row level security …`, of which no rule knows what it takes away",
    "says `alter type mood rename …`, of which no rule knows what it takes away",
];

#[test]
fn what_adds_is_fine() {
    for statement in [
        "CREATE TABLE lines (line_id uuid PRIMARY KEY, order_id uuid NOT NULL REFERENCES orders)",
        "ALTER TABLE orders ADD COLUMN place text, ADD COLUMN rank int NOT NULL DEFAULT 0 CHECK (rank >= 0)",
        "ALTER TABLE orders ADD COLUMN IF NOT EXISTS number bigint GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE orders ADD place text, ADD rank int, ADD CHECK (num_nulls(place, rank) IN (0, 2))",
        "ALTER TABLE orders ADD place text; UPDATE orders SET place = upper(note) WHERE note IS NOT NULL",
        "ALTER TABLE orders ADD place text; UPDATE orders AS o SET (place) = (SELECT max(x) FROM y WHERE z)",
        "ALTER TABLE orders ADD place text; CREATE UNIQUE INDEX once ON orders (place)",
        "ALTER TABLE orders DROP CONSTRAINT orders_state_check",
        "ALTER TABLE orders ALTER count DROP NOT NULL, ALTER state SET DEFAULT 'OPEN'",
        "ALTER TABLE orders ALTER note TYPE text, ALTER price TYPE numeric(14, 4)",
        "ALTER TABLE orders ALTER note TYPE character varying(40), ALTER price TYPE numeric",
        "ALTER TABLE orders SET (fillfactor = 60), ALTER note SET STORAGE main",
        "CREATE INDEX orders_note ON orders (note); COMMENT ON TABLE orders IS 'DROP TABLE orders'",
        "CREATE OR REPLACE VIEW audit_orders AS SELECT order_id, state, note FROM orders",
        "INSERT INTO orders SELECT gen_random_uuid(); GRANT SELECT ON orders TO auditor",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ DELETE FROM orders; SELECT 1 $$",
    ] {
        assert_eq!(found(&[statement]), [""; 0], "{statement}");
    }
}

#[test]
fn what_no_release_has_may_be_changed_as_one_likes() {
    let first = "CREATE TABLE lines (line_id uuid PRIMARY KEY, note text);\n\
                 CREATE VIEW audit_lines AS SELECT line_id FROM lines;\n\
                 ALTER TABLE orders ADD COLUMN place text";
    let second = "DROP VIEW audit_lines; DELETE FROM lines;\n\
                  ALTER TABLE lines DROP note, RENAME line_id TO id;\n\
                  ALTER TABLE orders ALTER place SET NOT NULL, RENAME place TO town; DROP TABLE lines";

    assert_eq!(found(&[first, second]), [""; 0]);
}

#[test]
fn what_a_published_release_does_without_goes_with_its_name() {
    let releases = published(&[("v1", 1), ("v2", 2)]);
    let add = migration(2, "ALTER TABLE orders ADD COLUMN remark text");
    let lint = |text: &str| {
        let all = [migration(1, OLD), add.clone(), migration(3, text)];
        let findings = super::lint(&all, &releases).findings;
        findings.into_iter().map(|it| format!("{}: {}", it.place, it.what)).collect::<Vec<_>>()
    };
    let place = "services/orders/migrations/0003_x.sql";

    let drop = "ALTER TABLE orders DROP COLUMN note;";
    assert_eq!(lint(&format!("-- Nobody reads it.\n-- contract: v2\n{drop}")), [""; 0]);
    let lost = "drops the column `note` of `orders`, and the release v2 would not survive it";
    assert_eq!(lint(drop), [format!("{place}:1: {lost}")]);
    let early = lint(&format!("{drop}\n-- contract: v3"));
    assert_eq!(early, [format!("{place}:2: releases.toml has no release `v3`")]);
    let idle = lint("-- contract: v2\nCREATE TABLE lines (line_id uuid)");
    let said = "says that it takes something away, and takes nothing";
    assert_eq!(idle, [format!("{place}:1: {said}")]);
}

#[test]
fn releases_that_cannot_be_are_refused_with_their_line() {
    let refused = |text: &str| format!("{:#}", Releases::parse(text).unwrap_err());
    let one = "[[releases]]\nversion = \"v1\"\ncommit = \"c0ffee\"\nmigrations = { orders = 3 }\n";

    let twice = refused(&format!("{one}{one}"));
    assert_eq!(twice, "releases.toml:6: the release v1 is there twice");
    let back = one.replace("v1", "v2").replace('3', "2");
    let back = refused(&format!("{one}{back}"));
    let said = "releases.toml:8: orders has migration 3 in the release before v2, and 2 in it";
    assert!(back.starts_with(said), "{back}");
    let unknown = refused(&one.replace("version", "name"));
    assert!(unknown.contains("releases.toml") && unknown.contains("name"), "{unknown}");
}

#[test]
fn a_release_is_noted_so_that_it_is_read_again() {
    let all = [migration(1, OLD), migration(2, "SELECT 1")];
    let releases = published(&[("v1", 1)]);

    let next = release("v2", "beef", &all, &releases).unwrap();

    let text = format!(
        "[[releases]]\nversion = \"v1\"\ncommit = \"c0ffee\"\nmigrations = {{ orders = 1 }}\n{}",
        next.record()
    );
    let read = Releases::parse(&text).unwrap();
    assert_eq!(read.newest(), Some(&next));
    assert_eq!(lint(&all, &read).unpublished, 0);
    assert!(release("v1", "beef", &all, &releases).is_err());
}
