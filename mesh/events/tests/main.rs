//! Events between services, on real PostgreSQL and nats-server.

mod consumer;
mod dead_letters;
mod ordering;
mod recreated;
mod relay;
mod support;
