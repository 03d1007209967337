//! The policy lab: what the whole stack does, from a channel to a server that follow one contract's
//! policy, over real sockets, when the network and its peers do not do as they should.
//!
//! What one layer does by itself is shown on a paused clock in the tests beside this one: `balance`,
//! `repeats`, `server`.

#[cfg(test)]
mod carried;
#[cfg(test)]
mod churn;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod half_open;
#[cfg(test)]
mod hop;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod load;
#[cfg(test)]
mod only_endpoint;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
