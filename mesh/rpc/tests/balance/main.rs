//! The balancer by itself: its rules on a paused clock over connections in memory, and the same
//! scenarios over real sockets.

#[cfg(test)]
mod breaker;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod picks;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
