//! The server's layers and connections over real sockets: too many calls, too slow ones, hostile
//! peers, and the end.

#[cfg(test)]
mod access;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod hops;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
