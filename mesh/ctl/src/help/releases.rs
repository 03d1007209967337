//! Examples and exit codes of what comes before and after a release.

pub const AFFECTED: &str = "\
Examples:
  cargo mesh affected --since origin/main         which images does this branch change?
  cargo mesh affected --since HEAD~1 --json | jq -c '[.images[].image]'

An image is affected if its program is compiled from a file that differs from that commit's, or from a
crate that Cargo.lock has otherwise. What is compiled into what, cargo knows; what a source includes,
and what every mesh.toml declares, counts as well. Tests, pages and manifests are in no image.

Exit codes: 0 told, also if it is none; 1 there is no such commit, or no git.";

pub const DELIVER: &str = "\
Examples:
  cargo mesh deliver orders --image ghcr.io/me/orders@sha256:… --weight 5    try it on 5 of 100 calls
  cargo mesh deliver orders --promote       what is tried is what runs
  cargo mesh deliver orders --withdraw      nothing is tried any more
  cargo mesh deliver orders                 write again what is made of delivered.toml

It changes files of k8s/overlays/production (or --overlay) and no cluster: delivered.toml, and what is made
of it in delivered/. Whoever operates the cluster by git commits them. From a first try to the end these
are --weight 1, 5, 25, 50, 100, then --promote, and --withdraw once that has been rolled out; back is
--withdraw at any time. An image is named by its digest, so that nobody makes another of it. Its
migrations run in a Job of their own, which is called after it.

Exit codes: 0 written; 1 another image is tried, or none is; 2 no such weight, or an image without a digest.";

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
