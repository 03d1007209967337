//! Examples and exit codes of what comes before and after a release.

pub const MIGRATIONS: &str = "\
Examples:
  cargo mesh migrations                       does the last release survive those that it does not have?
  cargo mesh migrations --record v2           v2 is published: note it in releases.toml
  cargo mesh migrations --json | jq -r '.findings[] | [.place.file, .place.line, .what] | @tsv'

While a version is rolled out, and after it was taken back, the version before works on its tables. So
a migration that releases.toml does not know as published may add: tables, columns that may be absent or
fill themselves, indexes, views. What takes away or narrows is refused with its line, and so is what no
rule knows: DROP, RENAME, another type, NOT NULL, a constraint on columns that are there, rows deleted.
It goes in a later migration, one that says in a comment which published release was the first that did
without it:

  -- contract: v2

Tables and columns that no published release has may be changed as you like.

Exit codes: 0 it survives all of them; 1 it does not, or a file cannot be read.";
