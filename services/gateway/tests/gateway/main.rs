//! The gateway before real services, and before one that remembers what it was sent.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bindings;
mod challenge;
mod docs;
mod drain;
mod edge;
mod envoy;
mod grpc;
mod health;
mod hostile;
mod json;
mod legacy;
mod limits;
mod old;
mod pages;
mod people;
mod rates;
mod reflection;
mod reload;
mod shelves;
mod spans;
mod streams;
mod support;
mod tls;
mod web;
mod witness;
