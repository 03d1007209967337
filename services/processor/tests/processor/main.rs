//! The sandbox processor through gRPC, on a real database of its own.

mod cards;
mod charges;
mod sandbox;
