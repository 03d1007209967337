//! What the log promises, on a real PostgreSQL.

mod gather;
mod lab;
mod reader;
mod replicas;
mod streams;
mod transactions;
