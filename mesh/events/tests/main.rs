//! Events between services, on real PostgreSQL and nats-server.

// The attributes tell clippy that all of it is tests.
#[cfg(test)]
mod consumer;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod ordering;
#[cfg(test)]
mod recreated;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod support;
#[cfg(test)]
mod unreadable;
